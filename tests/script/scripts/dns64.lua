-- DNS64 by a script: AAAA are made from A, and reverse names lead to those of IPv4.
local pref64 = "fe80::21b:77ff:0:0"
local reverse = newDN("f.f.7.7.b.1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa")

function nodata(dq)
  if dq.qtype ~= pdns.AAAA or dq.validationState == pdns.validationstates.Bogus then
    return false
  end
  dq.followupFunction = "getFakeAAAARecords"
  dq.followupPrefix = pref64
  dq.followupName = dq.qname
  return true
end

function preresolve(dq)
  if dq.qtype ~= pdns.PTR or not dq.qname:isPartOf(reverse) then
    return false
  end
  dq.followupFunction = "getFakePTRRecords"
  dq.followupPrefix = pref64
  dq.followupName = dq.qname
  return true
end
