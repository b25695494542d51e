-- Each site has a NAT64 of its own: the client's network decides the prefix.
local sites = {
  { networks = { "2001:db8:100::/40" }, pref64 = "2001:db8:64:1::" },
  { networks = { "2001:db8:200::/40", "!2001:db8:2ff::/48" }, pref64 = "2001:db8:64:2::" },
}

for _, site in ipairs(sites) do
  site.group = newNMG()
  site.group:addMasks(site.networks)
end

function nodata(dq)
  if dq.qtype ~= pdns.AAAA then
    return false
  end
  for _, site in ipairs(sites) do
    if site.group:match(dq.remoteaddr) then
      dq.followupFunction = "getFakeAAAARecords"
      dq.followupPrefix = site.pref64
      dq.followupName = dq.qname
      return true
    end
  end
  -- No NAT64 for others, and no AAAA by native DNS64 either.
  return true
end
