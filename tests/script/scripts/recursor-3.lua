-- Hooks as PowerDNS Recursor 3 called them.
function nodata(remoteip, domain, qtype, records)
  if qtype ~= pdns.AAAA then
    return pdns.PASS, {}
  end
  return "getFakeAAAARecords", domain, "fe80::21b:77ff:0:0"
end

function preresolve(remoteip, domain, qtype)
  if domain == "fixed.example." and qtype == pdns.A then
    return 0, { { qtype = pdns.A, content = "192.0.2.77", ttl = 90, place = "1" } }
  end
  if domain == "mine.example." and qtype == pdns.TXT then
    return 0, { { qtype = pdns.TXT, content = '"' .. remoteip .. '"', ttl = 90 } }
  end
  if domain == "alias.example." then
    return "followCNAMERecords", 0, { { qtype = pdns.CNAME, content = "v4.example." } }
  end
  if string.find(domain, "f.f.7.7.b.1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa.", 1, true) then
    return "getFakePTRRecords", domain, "fe80::21b:77ff:0:0"
  end
  return -1, {}
end

function nxdomain(remoteip, domain, qtype)
  if domain == "typo.example." then
    return 0, { { qtype = pdns.A, content = "192.0.2.80" } }
  end
  return -1, {}
end
