// Asks for status.json again and again, and shows what it says. Every value is put into the page as
// text, never as markup; the policy of the page lets nothing else be done.
"use strict";
(() => {
  const SCHEMA = 1; // of status.json
  const POLL_MS = 2_000;
  const HIDDEN_POLL_MS = 20_000; // while nobody looks
  const RETRY_MAX_MS = 10_000; // between tries while nobody answers
  const ANSWER_WAIT_MS = 5_000;
  const HISTORY_MS = 300_000; // what the charts show
  const SAMPLES_MAX = 400;
  const RATE_MS = 10_000; // what "a second" is measured over
  const MINUTE_MS = 60_000;
  const NOTHING = "–";
  const CACHED = ["hit", "stale", "kernel"]; // sources that needed no look-up

  const byId = (id) => document.getElementById(id);
  const setText = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };
  const make = (name, className) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    return node;
  };

  // ---- Numbers as people read them

  const whole = (value) => Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
  const number = (value) => {
    if (value == null) return NOTHING;
    if (value === 0) return "0";
    if (value >= 99.95) return whole(value);
    if (value < 0.095) return "< 0.1";
    return String(Number(value.toPrecision(value < 9.95 ? 2 : 3)));
  };
  // A number that has little room: in millions where it is long.
  const brief = (value) => {
    if (value < 1e7) return whole(value);
    const [unit, size] = value < 1e10 ? ["M", 1e6] : ["G", 1e9];
    return `${(value / size).toFixed(1)} ${unit}`;
  };
  const percent = (share) => (share == null ? NOTHING : `${(share * 100).toFixed(1)} %`);
  const micros = (us) => {
    if (us == null) return NOTHING;
    if (us < 999.5) return `${Math.round(us)} µs`;
    return us < 999_500 ? `${Number((us / 1e3).toPrecision(3))} ms` : `${Number((us / 1e6).toPrecision(3))} s`;
  };
  const octets = (count) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (count >= 1024 && unit < units.length - 1) {
      count /= 1024;
      unit += 1;
    }
    return `${unit === 0 ? count : count.toFixed(1)} ${units[unit]}`;
  };
  const span = (ms) => {
    let seconds = Math.floor(ms / 1000);
    const parts = [];
    for (const [unit, length] of [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]]) {
      const count = Math.floor(seconds / length);
      seconds -= count * length;
      if (count > 0 || parts.length > 0 || length === 1) parts.push(`${count} ${unit}`);
    }
    return parts.join(" ");
  };
  const clock = (ms) => new Date(ms).toLocaleTimeString();

  // ---- Cells, tables and lists

  // A cell: its text, the number behind it, and how it looks.
  const counted = (value) => ({ text: whole(value), value, className: "number" });
  const rated = (value) => ({ text: number(value), value, className: "number" });
  const timed = (found) => ({ text: found == null ? NOTHING : found.text, value: found?.us, className: "number" });
  const shared = (share) => ({ text: percent(share), value: share, className: "number" });
  const judged = (isGood, good, bad) => ({ text: isGood ? good : bad, className: isGood ? "good" : "bad" });

  const write = (node, cell) => {
    const { text, value, className } = typeof cell === "string" ? { text: cell } : cell;
    setText(node, text);
    if (value == null) node.removeAttribute("data-value");
    else if (node.dataset.value !== String(value)) node.dataset.value = value;
    if (node.className !== (className ?? "")) node.className = className ?? "";
  };

  const tables = new Map(); // by their ids: heads and rows by their keys

  const table = (id) => {
    if (!tables.has(id)) {
      const node = byId(id);
      const heads = [...node.querySelectorAll("thead th")];
      // Rows that are shown as cards are still rows of a table to those who hear the page.
      node.setAttribute("role", "table");
      for (const group of node.querySelectorAll("thead, tbody")) group.setAttribute("role", "rowgroup");
      node.querySelector("thead tr").setAttribute("role", "row");
      for (const head of heads) head.setAttribute("role", "columnheader");
      const body = node.querySelector("tbody");
      tables.set(id, { node, heads, labels: heads.map((head) => head.textContent), body, rows: new Map() });
    }
    return tables.get(id);
  };

  const addRow = (known, key) => {
    const row = make("tr");
    row.setAttribute("role", "row");
    known.labels.forEach((label, place) => {
      const cell = make(place === 0 ? "th" : "td");
      if (place === 0) cell.scope = "row";
      else cell.dataset.label = label;
      cell.setAttribute("role", place === 0 ? "rowheader" : "cell");
      row.append(cell);
    });
    known.rows.set(key, row);
    return row;
  };

  // Shows these rows, [key, cells], in this order. What is there already is changed in its place.
  const fill = (id, rows, empty) => {
    const known = table(id);
    const kept = new Set(rows.map(([key]) => key));
    for (const [key, row] of known.rows) {
      if (!kept.has(key)) {
        row.remove();
        known.rows.delete(key);
      }
    }
    rows.forEach(([key, cells], place) => {
      const row = known.rows.get(key) ?? addRow(known, key);
      cells.forEach((cell, column) => write(row.children[column], cell));
      if (known.body.children[place] !== row) known.body.insertBefore(row, known.body.children[place] ?? null);
    });
    if (rows.length > 0) {
      rows[0][1].forEach((cell, column) => {
        const isNumber = cell.className === "number";
        if (known.heads[column].classList.contains("number") !== isNumber) {
          known.heads[column].classList.toggle("number", isNumber);
        }
      });
    }
    let nothing = known.node.nextElementSibling;
    if (!nothing) {
      nothing = make("p", "none");
      known.node.after(nothing);
    }
    known.node.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
    setText(nothing, empty);
  };

  // Shows names and values in a list of definitions.
  const list = (id, pairs) => {
    const node = byId(id);
    const inGroups = node.classList.contains("tiles");
    const names = pairs.map(([name]) => name).join("\n");
    if (node.dataset.names !== names) {
      node.dataset.names = names;
      node.replaceChildren();
      for (const [name] of pairs) {
        const [term, value] = [make("dt"), make("dd")];
        term.textContent = name;
        if (inGroups) {
          const group = make("div");
          group.append(term, value);
          node.append(group);
        } else {
          node.append(term, value);
        }
      }
    }
    const values = node.querySelectorAll("dd");
    pairs.forEach(([, cell], place) => write(values[place], cell));
  };

  // ---- What has been heard

  let samples = []; // the last answers: moments and counts, the oldest first
  let latest = null;
  let answered = null; // when the last answer came, by the clock of the browser

  const sum = (counts) => counts.reduce((total, count) => total + count, 0);
  const sourcesOf = (data) => Object.keys(data.durations.sources);

  const sampleOf = (data) => {
    const { stats } = data;
    const durations = data.durations.sources;
    const together = data.durations.bounds_us.map(() => 0).concat(0);
    for (const source of Object.values(durations)) {
      source.counts.forEach((count, place) => {
        together[place] += count;
      });
    }
    const responses = {};
    const rcodes = {};
    for (const [source, row] of Object.entries(stats.responses)) {
      if (source === "total") continue;
      responses[source] = row.total;
      for (const [rcode, count] of Object.entries(row)) {
        if (rcode !== "total") rcodes[rcode] = (rcodes[rcode] ?? 0) + count;
      }
    }
    return {
      at: data.uptime_ms,
      queries: stats.queries.total,
      responses,
      rcodes,
      drops: stats.drops,
      durations: Object.fromEntries(Object.entries(durations).map(([source, row]) => [source, row.counts])),
      together,
      upstreams: new Map(data.upstreams.list.map((server) => [server.server, server.queries])),
      workers: new Map(stats.workers.map((worker) => [worker.worker, worker.queries])),
      isGap: false,
    };
  };

  // The sample that lies at least so long before the last one, or else the first.
  const before = (ms) => {
    const last = samples.at(-1);
    if (!last) return null;
    return samples.findLast((sample) => last.at - sample.at >= ms) ?? samples[0];
  };

  // How fast something grows between two samples, a second.
  const rate = (from, to, part) => {
    if (!from || !to || to.at <= from.at) return null;
    const grown = (part(to) ?? 0) - (part(from) ?? 0);
    return grown >= 0 ? (grown * 1000) / (to.at - from.at) : null;
  };
  const lately = (part) => rate(before(RATE_MS), samples.at(-1), part);

  const difference = (from, to) => to.map((count, place) => Math.max(0, count - (from[place] ?? 0)));

  // A percentile of a histogram, interpolated within its bound.
  const percentile = (counts, bounds, share) => {
    const total = sum(counts);
    if (total === 0) return null;
    const wanted = share * total;
    let passed = 0;
    for (const [place, count] of counts.entries()) {
      if (count > 0 && passed + count >= wanted) {
        if (place >= bounds.length) {
          const us = bounds.at(-1);
          return { us, text: `> ${micros(us)}` };
        }
        const low = place === 0 ? 0 : bounds[place - 1];
        const us = low + ((bounds[place] - low) * (wanted - passed)) / count;
        return { us, text: micros(us) };
      }
      passed += count;
    }
    return null;
  };

  // The share of the answers that needed no look-up, of those that could have needed one.
  const hitShare = (from, to) => {
    const grown = (source) => to.responses[source] - (from?.responses[source] ?? 0);
    const cached = sum(CACHED.map(grown));
    const all = cached + grown("miss");
    return all > 0 ? cached / all : null;
  };

  // ---- Charts

  const SVG = "http://www.w3.org/2000/svg";
  const draw = (name, attributes, text) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text != null) node.textContent = text;
    return node;
  };

  // A round number that is not less.
  const roundUp = (value) => {
    if (!(value > 0)) return 1;
    const size = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 2.5, 5, 10].find((step) => step * size >= value * 0.9999) * size;
  };

  // Where a value stands between bottom (0) and top (1) of a chart, and the values of its grid.
  const shares = (top) => ({ place: (value) => Math.min(1, value / top), grid: [0, top / 2, top] });
  const linear = (values) => shares(roundUp(Math.max(0, ...values)));
  const logarithmic = (values) => {
    const seen = values.filter((value) => value > 0).map(Math.log10);
    const low = Math.floor(Math.min(2, ...seen));
    const high = Math.max(low + 2, Math.ceil(Math.max(...seen, low)));
    const grid = Array.from({ length: high - low + 1 }, (_, power) => 10 ** (low + power));
    return { place: (value) => (Math.log10(Math.max(value, grid[0])) - low) / (high - low), grid };
  };

  // Draws lines over the last five minutes. Each line is { name, values }, a value for each sample.
  const drawChart = (id, lines, format, scaleOf) => {
    const figure = byId(id);
    const width = Math.max(240, figure.clientWidth - 30);
    const height = 150;
    const [left, right, above, below] = [58, 6, 8, 20];
    const now = samples.at(-1).at;
    const values = lines.flatMap((line) => line.values.filter((value) => value != null));
    const { place: share, grid } = scaleOf(values);
    const x = (at) => left + (width - left - right) * (1 - (now - at) / HISTORY_MS);
    const y = (value) => above + (height - above - below) * (1 - share(value));
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": figure.querySelector("strong").textContent });
    for (const value of grid) {
      const at = y(value);
      svg.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: at, y2: at }));
      svg.append(draw("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, format(value)));
    }
    for (const [ms, text] of [[HISTORY_MS, "−5 min"], [HISTORY_MS / 2, "−2.5 min"], [0, "now"]]) {
      const anchor = ms === 0 ? "end" : ms === HISTORY_MS ? "start" : "middle";
      svg.append(draw("text", { x: x(now - ms), y: height - 5, "text-anchor": anchor }, text));
    }
    lines.forEach((line, place) => {
      let path = "";
      let isDrawn = false;
      line.values.forEach((value, at) => {
        if (value == null) {
          isDrawn = false;
          return;
        }
        path += `${isDrawn ? "L" : "M"}${x(samples[at].at).toFixed(1)} ${y(value).toFixed(1)}`;
        // A point between two gaps is seen as a dot.
        if (!isDrawn) path += "h0";
        isDrawn = true;
      });
      if (path) svg.append(draw("path", { class: `line line-${place}`, d: path }));
    });
    figure.querySelector("svg")?.remove();
    figure.append(svg);
    const reading = lines.map((line) => `${line.name ? `${line.name}: ` : ""}${format(line.values.at(-1))}`).join(", ");
    const most = values.length > 0 ? `; highest ${format(Math.max(...values))}` : "";
    setText(figure.querySelector(".reading"), `now ${reading}${most}`);
  };

  // What lies between each sample and the one before it; nothing where answers are missing.
  const between = (part) => samples.map((sample, place) => {
    const from = samples[place - 1];
    return !from || sample.isGap ? null : part(from, sample);
  });

  const showCharts = () => {
    if (document.hidden || samples.length === 0) return;
    const bounds = latest.durations.bounds_us;
    const times = (share) => between(
      (from, to) => percentile(difference(from.together, to.together), bounds, share)?.us ?? null);
    drawChart("chart-rate", [{ values: between((from, to) => rate(from, to, (sample) => sample.queries)) }], number, linear);
    drawChart("chart-hits", [{ values: between(hitShare) }],
      (share) => (share == null ? NOTHING : `${Number((share * 100).toFixed(1))} %`), () => shares(1));
    drawChart("chart-latency", [{ name: "p50", values: times(0.5) }, { name: "p99 (dashed)", values: times(0.99) }], micros, logarithmic);
  };

  // ---- The parts of the page

  const showFacts = ({ status, configuration, uptime_ms: uptime }) => {
    list("facts", [
      ["Version", status.version],
      ["Running for", { text: span(uptime), value: uptime }],
      ["Configuration", { text: `generation ${configuration.generation}`, value: configuration.generation }],
      ["Listens on", status.listen.join(", ")],
      ["Process", String(status.pid)],
    ]);
  };

  const showTiles = (data) => {
    const last = samples.at(-1);
    const recent = difference(before(MINUTE_MS).together, last.together);
    const times = (share) => timed(percentile(recent, data.durations.bounds_us, share));
    list("tiles", [
      ["Queries a second", rated(lately((sample) => sample.queries))],
      ["Queries since the start", { ...counted(last.queries), text: brief(last.queries) }],
      ["From the cache, last minute", shared(hitShare(before(MINUTE_MS), last))],
      ["p50, last minute", times(0.5)],
      ["p99, last minute", times(0.99)],
      ["Drops a second", rated(lately((sample) => sample.drops.total))],
      ["Clients waiting", counted(data.stats.under_way.clients)],
      ["Look-ups in flight", counted(data.stats.under_way.lookups)],
    ]);
  };

  const showResponses = (data) => {
    const last = samples.at(-1);
    const isRecent = byId("span").value === "minute";
    const rows = sourcesOf(data).map((source) => {
      const all = last.durations[source];
      const counts = isRecent ? difference(before(MINUTE_MS).durations[source], all) : all;
      const times = [0.5, 0.9, 0.99].map((share) => timed(percentile(counts, data.durations.bounds_us, share)));
      const speed = rated(lately((sample) => sample.responses[source]));
      return [source, [source, counted(last.responses[source]), speed, ...times]];
    });
    fill("table-sources", rows, "No responses.");
    const total = data.stats.responses.total;
    const rcodes = Object.entries(last.rcodes).sort(([, one], [, other]) => other - one);
    fill("table-rcodes", rcodes.map(([rcode, count]) => [rcode, [
      rcode, counted(count), rated(lately((sample) => sample.rcodes[rcode])), shared(total > 0 ? count / total : null),
    ]]), "No responses yet.");
  };

  const showDrops = ({ stats }) => {
    const reasons = Object.keys(stats.drops).filter((reason) => reason !== "total");
    fill("table-drops", [...reasons, "total"].map((reason) => [reason, [
      reason, counted(stats.drops[reason]), rated(lately((sample) => sample.drops[reason])),
    ]]), "None.");
  };

  const showCache = ({ stats, cache_octets_max: size }) => {
    const { cache } = stats;
    const used = `${octets(cache.octets)} of ${octets(size)} (${percent(size > 0 ? cache.octets / size : null)})`;
    list("cache-facts", [
      ["Entries", { text: whole(cache.entries), value: cache.entries }],
      ["Memory", { text: used, value: cache.octets }],
      ["Answered from it since the start", shared(hitShare(null, samples.at(-1)))],
      ["Queries that needed a look-up", { text: whole(cache.misses), value: cache.misses }],
      ["Stale answers", { text: whole(cache.stale), value: cache.stale }],
      ["Prefetches", { text: whole(cache.prefetches), value: cache.prefetches }],
      ["Evictions", { text: whole(cache.evictions), value: cache.evictions }],
    ].map(([name, cell]) => [name, { ...cell, className: "" }]));
  };

  const showUpstreams = ({ upstreams }) => {
    const { total, up } = upstreams;
    const left = total - upstreams.list.length;
    const note = left > 0 ? ` ${whole(left)} are not shown.` : "";
    write(byId("upstreams-summary"), { text: `${whole(up)} of ${whole(total)} up.${note}`, value: up, className: up < total ? "bad" : "" });
    const shown = [false, true].flatMap((isUp) => upstreams.list.filter((server) => (server.state === "up") === isUp));
    fill("table-upstreams", shown.map((server) => [server.server, [
      server.server,
      judged(server.state === "up", "up", server.state),
      { text: micros(server.rtt_us), value: server.rtt_us, className: "number" },
      counted(server.in_flight),
      counted(server.queries),
      rated(lately((sample) => sample.upstreams.get(server.server))),
      counted(server.timeouts),
    ]]), "None.");
  };

  const showPrefixes = ({ status }) => {
    fill("table-views", status.views.map((view, place) => {
      const prefixes = view.enabled ? view.prefixes.join(", ") : "no DNS64";
      const pool = view.enabled && view.pool != null ? ` (one of the pool ${view.pool} for each client)` : "";
      return [place, [view.name, prefixes + pool]];
    }), "None.");
    fill("table-gateways", status.pools.flatMap((pool) => pool.gateways.map((gateway) => {
      const state = gateway.drained ? "drained" : gateway.probed ? gateway.state : "not probed";
      return [JSON.stringify([pool.name, gateway.prefix]), [
        gateway.prefix,
        pool.name,
        { text: state, className: state === "up" ? "good" : state === "not probed" ? "" : "bad" },
        judged(gateway.serves, pool.fail_static ? "yes: every gateway has failed" : "yes", "no"),
        counted(gateway.weight),
        counted(gateway.failures),
        gateway.state === "down" && gateway.last_error != null ? gateway.last_error : NOTHING,
      ]];
    })), "There are no pools.");
  };

  const showDatapath = ({ status, stats }) => {
    const rows = status.interfaces.map((place) => [place.interface, [
      place.interface, place.tier, place.queues > 0 ? String(place.queues) : NOTHING, place.refusal ?? NOTHING,
    ]]);
    if (rows.length === 0) {
      rows.push(["", ["all", "socket", NOTHING, "no interface is named for XDP"]]);
    }
    fill("table-interfaces", rows, "");
    const { steering } = status;
    const plain = (value) => ({ text: whole(value), value });
    list("datapath-facts", [
      ["Steering to workers", steering.refusal == null ? `by ${steering.by}` : `by ${steering.by}: ${steering.refusal}`],
      ["Queries by AF_XDP", plain(stats.xsk.queries)],
      ["Replies by AF_XDP", plain(stats.xsk.replies)],
      ["Left to the sockets by a full queue", plain(stats.xsk.diverted)],
      ["Lost in a full queue", plain(stats.xsk.full)],
      ["Thrown away by XDP", plain(stats.queries.kernel_drops)],
    ]);
  };

  const showWorkers = ({ stats }) => {
    fill("table-workers", stats.workers.map((worker) => [worker.worker, [
      String(worker.worker), counted(worker.queries),
      rated(lately((sample) => sample.workers.get(worker.worker))), counted(worker.handed_over),
    ]]), "None.");
  };

  const WHY_NOT = {
    file: "the file has mistakes, or there is none: see the log",
    restart: "only a new start can change",
    start: "something it needs cannot be made: see the log",
    workers: "workers were busy",
    kernel: "the XDP program could not be told: see the log",
    system: "the system lacks something: see the log",
  };

  const showReloads = ({ configuration }) => {
    fill("table-reloads", configuration.reloads.last.map((reload) => {
      const keys = reload.keys.length > 0 ? ` ${reload.keys.join(", ")}` : "";
      return [reload.number, [
        new Date(reload.unix_seconds * 1000).toLocaleString(),
        { text: reload.result, className: reload.result === "refused" ? "bad" : "good" },
        counted(reload.generation),
        reload.changes == null ? { text: NOTHING, className: "number" } : counted(reload.changes),
        reload.reason == null ? NOTHING : `${WHY_NOT[reload.reason] ?? reload.reason}${keys}`,
      ]];
    }), "None since the start.");
  };

  const show = () => {
    if (!latest) return;
    for (const part of [
      showFacts, showTiles, showResponses, showDrops, showCache, showUpstreams, showPrefixes, showDatapath,
      showWorkers, showReloads,
    ]) part(latest);
    showCharts();
  };

  // ---- How it is

  // Said only when it changes: it is read out.
  const say = (text, className) => {
    setText(byId("state"), text);
    byId("state").className = `state ${className}`;
    const word = className === "good" ? "ready" : className === "bad" ? "not ready" : "";
    document.title = `${word ? `${word} · ` : ""}dns64d ${location.host}`;
  };

  const showAge = () => {
    const age = byId("age");
    const isStale = document.body.classList.contains("stale");
    age.hidden = !isStale || answered == null;
    if (!age.hidden) setText(age, `The numbers below are ${span(Date.now() - answered)} old.`);
  };

  const lose = (reason) => {
    for (const sample of samples.slice(-1)) sample.isLast = true;
    document.body.classList.add("stale");
    const since = answered == null ? "No answer yet" : `No answer since ${clock(answered)}`;
    say(`${since}: ${reason}.`, "bad");
    showAge();
  };

  let firstVersion = null;

  const take = (data) => {
    const isAnother = latest && (data.status.pid !== latest.status.pid || data.uptime_ms < latest.uptime_ms);
    if (isAnother) samples = [];
    const sample = sampleOf(data);
    sample.isGap = samples.at(-1)?.isLast === true;
    if (samples.at(-1)?.at !== sample.at) samples.push(sample);
    samples = samples.filter((known) => sample.at - known.at <= HISTORY_MS + HIDDEN_POLL_MS).slice(-SAMPLES_MAX);
    latest = data;
    answered = Date.now();
    document.body.classList.remove("stale");
    firstVersion ??= data.status.version;
    const renewed = byId("renewed");
    renewed.hidden = data.status.version === firstVersion;
    setText(renewed, renewed.hidden ? "" : "Another version of dns64d answers now: load this page anew.");
    show();
    showAge();
    if (data.state === "ready") say("Ready: queries are answered.", "good");
    else say(`Not ready: ${data.reason}.`, "bad");
  };

  // ---- Asking

  let timer = 0;
  let failures = 0;
  let isAsking = false;

  const ask = async () => {
    let response;
    try {
      response = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
    } catch (error) {
      throw new Error(error.name === "TimeoutError" ? "it does not answer in time" : "it cannot be reached", { cause: error });
    }
    const data = await response.json().catch(() => {
      throw new Error(`what it says is no status (HTTP ${response.status})`);
    });
    if (!response.ok) throw new Error(data.error ?? `HTTP ${response.status}`);
    if (data.schema !== SCHEMA) throw new Error("another version of dns64d answers: load this page anew");
    return { data };
  };

  const poll = async () => {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    try {
      const heard = await ask().catch((error) => ({ error }));
      failures = heard.error ? failures + 1 : 0;
      if (heard.error) lose(heard.error.message);
      else take(heard.data);
    } finally {
      isAsking = false;
      const pause = failures > 0 ? Math.min(RETRY_MAX_MS, POLL_MS * failures) : POLL_MS;
      timer = setTimeout(poll, document.hidden ? HIDDEN_POLL_MS : pause);
    }
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    poll();
    showCharts();
  });
  byId("span").addEventListener("change", show);
  new ResizeObserver(() => requestAnimationFrame(showCharts)).observe(byId("chart-rate"));
  setInterval(showAge, 1_000);
  setText(byId("host"), location.host);
  poll();
})();
