"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  window.addEventListener("error", (event) => {
    by("errors").textContent += event.message + "\n";
  });

  // --- the data ---

  const flights = DATA.flights.map(([sent, arrives, from, to, kind, about]) => ({ sent, arrives, from, to, kind, about }));
  const marks = DATA.marks.map(([at, state, who, view, text]) => ({ at, state, who, view, text }));
  const lanes = DATA.machines.length;
  const last = (list, of) => list.reduce((most, item) => Math.max(most, of(item)), 0);
  const end = Math.max(1000, last(marks, (mark) => mark.at), last(flights, (flight) => flight.arrives || flight.sent));
  const verdict = marks.filter((mark) => mark.state === "verdict").pop();
  const seconds = (us) => (us / 1e6).toFixed(us < 1e7 ? 4 : 3) + " s";

  const kindColour = (kind) => `hsl(${(kind * 360) / Math.max(1, DATA.kinds.length)} 65% 50%)`;
  const viewColour = (view, alpha) => `hsl(${(view * 67) % 360} 60% 55% / ${alpha})`;
  const signs = {
    enters: ["▲", "enters a view"], leaves: ["△", "leaves a view"], complains: ["!", "complains"],
    stable: ["◆", "stable checkpoint"], crash: ["✖", "dies"], start: ["●", "starts"],
    contradiction: ["#", "holds a contradiction"], suspicion: ["?", "suspects"], alarm: ["‼", "alarm"], standing: ["s", "standing"],
    delivers: ["·", "delivers"], verdict: ["★", "verdict"],
  };

  // Stretches of one machine in one view.
  const stretches = [];
  for (let who = 0; who < lanes; who++) {
    let open = { who, view: 0, from: 0 };
    for (const mark of marks) {
      if (mark.who !== who || mark.view === null || mark.view === open.view) continue;
      stretches.push({ ...open, to: mark.at });
      open = { who, view: mark.view, from: mark.at };
    }
    stretches.push({ ...open, to: end });
  }
  const outages = [];
  for (let who = 0; who < lanes; who++) {
    let since = null;
    for (const mark of marks.filter((mark) => mark.who === who)) {
      if (mark.state === "crash") since = since ?? mark.at;
      if (mark.state === "start" && since !== null) {
        outages.push({ who, from: since, to: mark.at });
        since = null;
      }
    }
    if (since !== null) outages.push({ who, from: since, to: end });
  }

  // --- the diagram ---

  const canvas = by("diagram");
  const paper = canvas.getContext("2d");
  const left = 96, top = 26, bottom = 22, laneHeight = Math.max(34, Math.min(90, 520 / lanes));
  const height = top + bottom + lanes * laneHeight;
  let width = 1200, from = 0, to = end, hidden = new Set(), drawn = null;
  const quiet = ["status", "request"];
  DATA.kinds.forEach((kind, index) => quiet.includes(kind) && hidden.add(index));

  const x = (us) => left + ((us - from) / (to - from)) * (width - left - 8);
  const y = (lane) => top + (lane + 0.5) * laneHeight;
  const timeAt = (px) => from + ((px - left) / (width - left - 8)) * (to - from);

  function show(newFrom, newTo) {
    const span = Math.min(Math.max(newTo - newFrom, 200), end * 1.02);
    from = Math.min(Math.max(newFrom, -end * 0.01), end * 1.01 - span);
    to = from + span;
    draw();
  }

  function zoom(factor, at = (from + to) / 2) {
    show(at - (at - from) * factor, at + (to - at) * factor);
  }

  function go(us, span = Math.min(end, 60000)) {
    show(us - span * 0.7, us + span * 0.3);
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft"), line = style.getPropertyValue("--line");
    paper.clearRect(0, 0, width, height);
    drawn = { flights: [], marks: [] };
    paper.font = "12px system-ui, sans-serif";
    drawLanes(soft);
    drawFaults(line, soft);
    drawFlights();
    drawMarks(ink);
    drawAxis(soft, line);
    by("span").textContent = `${seconds(Math.max(0, from))} to ${seconds(to)}; ${drawn.flights.length} messages, ${drawn.marks.length} marks shown`;
  }

  function drawLanes(soft) {
    for (const stretch of stretches) {
      if (stretch.to < from || stretch.from > to) continue;
      const x0 = Math.max(left, x(stretch.from)), x1 = Math.min(width - 8, x(stretch.to));
      paper.fillStyle = viewColour(stretch.view, 0.28);
      paper.fillRect(x0, y(stretch.who) - 7, Math.max(1, x1 - x0), 14);
      if (x1 - x0 > 34) {
        paper.fillStyle = soft;
        paper.fillText(`v${stretch.view}`, x0 + 3, y(stretch.who) + 4);
      }
    }
    for (const outage of outages) {
      if (outage.to < from || outage.from > to) continue;
      const x0 = Math.max(left, x(outage.from)), x1 = Math.min(width - 8, x(outage.to));
      paper.fillStyle = "rgb(120 120 130 / .55)";
      paper.fillRect(x0, y(outage.who) - 9, Math.max(1, x1 - x0), 18);
    }
  }

  function drawFaults(line, soft) {
    let labelled = -1e9;
    for (const mark of marks) {
      if ((mark.state !== "fault" && mark.state !== "heal") || mark.at < from || mark.at > to) continue;
      paper.strokeStyle = mark.state === "heal" ? "hsl(140 50% 45% / .7)" : "hsl(20 80% 50% / .45)";
      paper.setLineDash([4, 4]);
      paper.beginPath();
      paper.moveTo(x(mark.at), top - 6);
      paper.lineTo(x(mark.at), height - bottom);
      paper.stroke();
      paper.setLineDash([]);
      drawn.marks.push({ px: x(mark.at), py: top - 6, mark });
      if (x(mark.at) - labelled > 150) {
        labelled = x(mark.at);
        paper.fillStyle = soft;
        paper.fillText(mark.text.replace(/^-- /, "").slice(0, 24), x(mark.at) + 2, top - 12);
      }
    }
  }

  function drawFlights() {
    paper.lineWidth = 1;
    const most = 6000;
    const seen = flights.filter((f) => !hidden.has(f.kind) && (f.arrives || f.sent) >= from && f.sent <= to);
    const step = Math.max(1, Math.ceil(seen.length / most));
    for (let index = 0; index < seen.length; index += step) {
      const flight = seen[index];
      const lost = flight.arrives === null;
      const x0 = x(flight.sent), y0 = y(flight.from), x1 = lost ? x0 + 10 : x(flight.arrives), y1 = lost ? y0 + (y(flight.to) - y0) * 0.3 : y(flight.to);
      paper.strokeStyle = kindColour(flight.kind);
      paper.globalAlpha = lost ? 0.9 : 0.55;
      paper.beginPath();
      paper.moveTo(x0, y0);
      paper.lineTo(x1, y1);
      paper.stroke();
      if (lost) {
        paper.fillStyle = kindColour(flight.kind);
        paper.fillText("×", x1 - 3, y1 + 4);
      }
      drawn.flights.push({ x0, y0, x1, y1, flight });
    }
    paper.globalAlpha = 1;
  }

  function drawMarks(ink) {
    paper.textAlign = "center";
    for (const mark of marks) {
      if (mark.at < from || mark.at > to || !signs[mark.state]) continue;
      if (mark.state === "delivers" && to - from > 3e6) continue;
      const px = x(mark.at), py = mark.who === null ? top - 2 : y(mark.who);
      const isBad = ["crash", "alarm", "contradiction"].includes(mark.state) || (mark.state === "verdict" && DATA.verdict !== "passed");
      paper.fillStyle = isBad ? "#d9382b" : mark.view === null ? ink : viewColour(mark.view, 1);
      paper.fillText(signs[mark.state][0], px, py + 4);
      drawn.marks.push({ px, py, mark });
    }
    paper.textAlign = "left";
  }

  function drawAxis(soft, line) {
    paper.clearRect(0, 0, left - 4, height);
    paper.fillStyle = soft;
    DATA.machines.forEach((name, lane) => {
      const isBad = DATA.byzantine.some((one) => one.who === lane) || DATA.twins.includes(lane) || name.includes("second");
      paper.fillStyle = isBad ? "#d9382b" : soft;
      paper.fillText((isBad ? "☠ " : "") + name.slice(0, 14), 6, y(lane) + 4);
    });
    paper.fillStyle = soft;
    paper.strokeStyle = line;
    const raw = (to - from) / 8, unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= raw) || raw;
    for (let at = Math.ceil(Math.max(0, from) / step) * step; at < to; at += step) {
      paper.beginPath();
      paper.moveTo(x(at), height - bottom);
      paper.lineTo(x(at), height - bottom + 5);
      paper.stroke();
      paper.fillText(seconds(at), x(at) + 2, height - 6);
    }
  }

  // --- what is under the pointer ---

  function found(px, py) {
    let best = null, nearest = 9;
    for (const one of drawn.marks) {
      const far = Math.hypot(one.px - px, one.py - py);
      if (far < nearest) [best, nearest] = [one, far];
    }
    if (best) return best;
    nearest = 5;
    for (const one of drawn.flights) {
      const dx = one.x1 - one.x0, dy = one.y1 - one.y0, square = dx * dx + dy * dy || 1;
      const along = Math.max(0, Math.min(1, ((px - one.x0) * dx + (py - one.y0) * dy) / square));
      const far = Math.hypot(one.x0 + along * dx - px, one.y0 + along * dy - py);
      if (far < nearest) [best, nearest] = [one, far];
    }
    return best;
  }

  function describe(one) {
    if (one.mark) return `${seconds(one.mark.at)}\n${one.mark.text}`;
    const { sent, arrives, from: sender, to: receiver, kind, about } = one.flight;
    const how = arrives === null ? "lost, or kept back" : `arrives at ${seconds(arrives)}, after ${((arrives - sent) / 1000).toFixed(1)} ms`;
    return `${DATA.kinds[kind]}: ${DATA.machines[sender]} → ${DATA.machines[receiver]}\n${about}\nsent at ${seconds(sent)}, ${how}`;
  }

  function hover(px, py) {
    const tip = by("tip"), one = found(px, py);
    tip.hidden = !one;
    if (!one) return null;
    tip.textContent = describe(one);
    tip.style.left = `${Math.min(px + 14, width - 260)}px`;
    tip.style.top = `${Math.max(0, py - 40)}px`;
    return tip.textContent;
  }

  // --- the rest of the page ---

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  function row(table, cells, click) {
    const made = element("tr", undefined, click ? "link" : "");
    cells.forEach((cell, index) => made.append(element("td", cell, index === 0 ? "time" : "")));
    if (click) made.addEventListener("click", click);
    table.append(made);
  }

  function fill() {
    by("headline").textContent = DATA.headline;
    by("headline").className = DATA.verdict === "passed" || DATA.is_expected ? "passed" : "failed";
    const healed = DATA.healed_in_ms === null ? "" : ` Healed within ${DATA.healed_in_ms} ms.`;
    by("summary").textContent = `Seed ${DATA.seed}; ${lanes} machines; ${(DATA.virtual_ms / 1000).toFixed(1)} s of virtual time; ${DATA.deliveries} deliveries.${healed} Expected: ${DATA.expected}.`;
    DATA.facts.slice(0, 60).forEach((fact) => by("facts").append(element("li", fact)));
    by("again").textContent = DATA.again;
    by("hash").textContent = DATA.hash;
    by("legend").textContent = Object.values(signs).map(([sign, what]) => `${sign} ${what}`).join("   ") + "   grey: down   × lost";
    const { flights: gone, marks: goneMarks } = DATA.left_out;
    by("left").textContent = gone + goneMarks > 0 ? `Left out to keep this file small: the first ${gone} messages and ${goneMarks} marks.` : "";
    for (const one of DATA.byzantine) {
      by("corrupted").append(element("p", `Validator ${one.who} is Byzantine. ${one.does.join(" ")}`));
    }
    DATA.twins.forEach((who) => by("corrupted").append(element("p", `Validator ${who} runs on two machines with one key.`)));
    for (const [who, kinds] of Object.entries(DATA.blamed)) {
      by("corrupted").append(element("p", `Proven against validator ${who}: ${Object.keys(kinds).join(", ")}.`));
    }
    if (DATA.events.length === 0) row(by("plan"), ["", "no faults at given times"]);
    DATA.events.forEach(([at, what]) => row(by("plan"), [`${at} ms`, what], () => go(at * 1000)));
    fillViews();
    const told = marks.filter((mark) => !["delivers", "executes", "certified", "stable", "intake"].includes(mark.state));
    told.slice(0, 3000).forEach((mark) => row(by("story"), [seconds(mark.at), mark.text], () => go(mark.at)));
  }

  function fillViews() {
    const views = new Map();
    for (const { who, view, from: since, to: until } of stretches) {
      const known = views.get(view) || { since, until, who: [] };
      views.set(view, { since: Math.min(known.since, since), until: Math.max(known.until, until), who: [...known.who, who] });
    }
    [...views.entries()].sort((one, other) => one[0] - other[0]).slice(0, 1000).forEach(([view, { since, until, who }]) => {
      row(by("views"), [`view ${view}`, `${seconds(since)} to ${seconds(until)}`, `machines ${[...new Set(who)].join(", ")}`], () => go(since));
    });
  }

  function toggle(kind, isShown) {
    isShown ? hidden.delete(kind) : hidden.add(kind);
    document.querySelectorAll("#kinds input")[kind].checked = isShown;
    draw();
  }

  function fillKinds() {
    DATA.kinds.forEach((kind, index) => {
      const label = element("label"), box = element("input"), colour = element("i");
      box.type = "checkbox";
      box.checked = !hidden.has(index);
      box.addEventListener("change", () => toggle(index, box.checked));
      colour.style.background = kindColour(index);
      label.append(box, colour, kind);
      by("kinds").append(label);
    });
  }

  function resize() {
    const ratio = window.devicePixelRatio || 1;
    width = Math.max(600, canvas.parentElement.clientWidth);
    canvas.style.height = `${height}px`;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw();
  }

  function listen() {
    let grabbed = null;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => (grabbed = { px: event.offsetX, from, to }));
    window.addEventListener("pointerup", () => (grabbed = null));
    canvas.addEventListener("pointermove", (event) => {
      if (!grabbed) return void hover(event.offsetX, event.offsetY);
      const by = ((grabbed.px - event.offsetX) / (width - left - 8)) * (grabbed.to - grabbed.from);
      show(grabbed.from + by, grabbed.to + by);
    });
    canvas.addEventListener("pointerleave", () => (by("tip").hidden = true));
    by("jump").addEventListener("click", () => go(verdict ? verdict.at : end));
    by("all").addEventListener("click", () => show(0, end));
    by("in").addEventListener("click", () => zoom(0.5));
    by("out").addEventListener("click", () => zoom(2));
    by("none").addEventListener("click", () => DATA.kinds.forEach((_, kind) => toggle(kind, false)));
    window.addEventListener("resize", resize);
  }

  // --- the page's own test, run by opening it with #selftest ---

  function selfTest() {
    const result = { marks: 0, flights: 0, filter: false, jump: false, zoom: false, hover: false, painted: false };
    by("all").click();
    [result.marks, result.flights] = [drawn.marks.length, drawn.flights.length];
    const image = paper.getImageData(0, 0, canvas.width, canvas.height).data;
    result.painted = image.some((value) => value !== 0);
    if (drawn.flights.length > 0) {
      const kind = drawn.flights[0].flight.kind, before = drawn.flights.filter((one) => one.flight.kind === kind).length;
      const box = document.querySelectorAll("#kinds input")[kind];
      box.click();
      const without = drawn.flights.some((one) => one.flight.kind === kind);
      box.click();
      result.filter = before > 0 && !without && drawn.flights.some((one) => one.flight.kind === kind);
    }
    const kept = drawn.flights[Math.floor(drawn.flights.length / 2)];
    if (kept) result.message = hover((kept.x0 + kept.x1) / 2, (kept.y0 + kept.y1) / 2) !== null;
    const wide = to - from;
    by("in").click();
    result.zoom = to - from < wide;
    by("jump").click();
    const shown = drawn.marks.find((one) => one.mark.state === "verdict");
    result.jump = Boolean(shown) && shown.px > left && shown.px < width;
    result.hover = Boolean(shown) && (hover(shown.px, shown.py) || "").includes(shown.mark.text.split("\n")[0].slice(0, 20));
    result.rows = document.querySelectorAll("#plan tr").length + document.querySelectorAll("#views tr").length;
    result.errors = by("errors").textContent;
    by("selftest").textContent = JSON.stringify(result);
  }

  fillKinds();
  fill();
  listen();
  resize();
  if (DATA.verdict !== "passed" && verdict) go(verdict.at);
  if (location.hash === "#selftest") selfTest();
})();
