"""Reads the output of dnsperf 2.x on standard input and writes its numbers as JSON.

Written against dnsperf's own output: every line of its statistics must be there, in its form and
order. Exits with 1 and the name of the first line that is not.
"""
import json
import re
import sys

NUMBER = r"(\d+\.\d{6})"
COUNT = r"(\d+)"
SHARE = r"\((\d+\.\d\d)%\)"
LINES = [
    ("opening", r"^DNS Performance Testing Tool\nVersion \S+.*$"),
    ("command", r"^\[Status\] Command line: (.+)$"),
    ("server", r"^\[Status\] Sending queries \(to (\S+)\)$"),
    ("end", r"^\[Status\] Testing complete \((.+)\)$"),
    ("heading", r"^Statistics:$"),
    ("sent", rf"^  Queries sent:         {COUNT}$"),
    ("completed", rf"^  Queries completed:    {COUNT} {SHARE}$"),
    ("lost", rf"^  Queries lost:         {COUNT} {SHARE}$"),
    ("rcodes", r"^  Response codes:       (.*)$"),
    ("sizes", rf"^  Average packet size:  request {COUNT}, response {COUNT}$"),
    ("run_time", rf"^  Run time \(s\):         {NUMBER}$"),
    ("rate", rf"^  Queries per second:   {NUMBER}$"),
    ("latency", rf"^  Average Latency \(s\):  {NUMBER} \(min {NUMBER}, max {NUMBER}\)$"),
    ("deviation", rf"^  Latency StdDev \(s\):   {NUMBER}$"),
]

text = sys.stdin.read()
found = {}
place = 0
for name, pattern in LINES:
    match = re.compile(pattern, re.MULTILINE).search(text, place)
    if not match:
        sys.exit(f"no line of the form {name}: {pattern}")
    place = match.end()
    found[name] = list(match.groups())
found["rcodes"] = {
    code: int(count)
    for code, count in re.findall(r"(\w+) (\d+) \(\d+\.\d\d%\)", found["rcodes"][0])
}
found["intervals"] = re.findall(r"^\d{10}\.\d{6}: \d+\.\d{6}$", text, re.MULTILINE)
json.dump(found, sys.stdout)
