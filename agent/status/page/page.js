"use strict";
// Nothing here is shown as true unless boothd said so within the last seconds.
// Text goes in as text, never as markup.
const SILENT_MS = 3000; // three missed beats
const VEIL_MS = 4000; // the veil falls by itself, even if this script hangs
const RETRY_MS = 3000;
const OUTPUTS = ["traveller_red", "traveller_amber", "traveller_green", "officer_green", "officer_amber",
  "officer_red", "officer_health", "buzzer", "gate_open", "gate_close", "reader_light", "reader_beeper"];
const STATES = { idle: "no vehicle", approach: "approaching", at_booth: "at the booth", acted: "officer has acted", clearing: "clearing" };
const OUTCOMES = ["EXPEDITE", "PRIMARY", "REFER", "HOLD"];
const still = matchMedia("(prefers-reduced-motion: reduce)");
const $ = (id) => document.getElementById(id);

let source = null;
let heardAt = -Infinity; // monotonic, of the last good beat
let picture = null;
let bootNow = 0; // boothd's clock, ms, at the last beat
let sick = ""; // what boothd said of its own picture

// Lamps -------------------------------------------------------------------

// frames gives one cycle of a rhythm, with the times of product's interlock.
function frames(shows, count) {
  const cycle = (n, half, rest) => {
    const total = 2 * n * half + rest, at = [];
    for (let i = 0; i < n; i++) {
      at.push({ opacity: 1, offset: (2 * i * half) / total, easing: "steps(1, end)" });
      at.push({ opacity: 0, offset: ((2 * i + 1) * half) / total, easing: "steps(1, end)" });
    }
    at.push({ opacity: 0, offset: 1 });
    return { at, total };
  };
  switch (shows) {
    case "slow": return cycle(1, 500, 0);
    case "fast": return cycle(1, 125, 0);
    case "blinks": return cycle(Math.min(Math.max(count || 1, 1), 9), 200, 1200);
  }
  return null;
}

function words(lamp) {
  if (!lamp) return "not known";
  if (lamp.feedback === "fault") return "cannot be driven";
  const says = { off: "off", steady: "on", slow: "slow blink", fast: "fast blink", blinks: (lamp.count || 1) + " blinks" }[lamp.shows] || "not known";
  return says + ({ differs: ", and showed something else", lost: ", not seen" }[lamp.feedback] || "");
}

// draw shows one output; without a lamp it is drawn as not known.
function draw(name, lamp) {
  const g = document.querySelector(`[data-lamp="${name}"]`);
  const glow = g.querySelector(".glow");
  const key = lamp ? [lamp.shows, lamp.count, lamp.feedback, still.matches].join() : "unknown";
  if (g.dataset.key === key) return; // a rhythm must not start again at every picture
  g.dataset.key = key;
  glow.getAnimations().forEach((a) => a.cancel());
  g.classList.toggle("unknown", !lamp);
  g.classList.toggle("fault", !!lamp && ["differs", "fault", "lost"].includes(lamp.feedback));
  g.classList.toggle("blinking", !!lamp && !!frames(lamp.shows, lamp.count));
  const lit = !!lamp && lamp.feedback !== "fault" && lamp.shows !== "off";
  g.classList.toggle("lit", lit);
  const beat = lit && !still.matches && frames(lamp.shows, lamp.count);
  if (beat) glow.animate(beat.at, { duration: beat.total, iterations: Infinity });
}

function drawLamps(lamps) {
  const by = new Map((lamps || []).map((l) => [l.name, l]));
  for (const name of OUTPUTS) {
    const lamp = by.get(name);
    draw(name, lamp);
    const row = document.querySelector(`[data-row="${name}"]`);
    if (row) {
      if (lamps) row.hidden = !(lamp && lamp.wired); // what is not wired stays away when nothing is known
      row.querySelector("b").textContent = words(lamp);
    }
  }
  const head = ["red", "amber", "green"].map((c) => [c, by.get("traveller_" + c)]);
  const lit = head.filter(([, l]) => l && l.shows !== "off").map(([c, l]) => c + (l.shows === "steady" ? "" : ", " + words(l)));
  const bad = head.filter(([, l]) => l && l.feedback && l.feedback !== "agrees").map(([c, l]) => c + ": " + words(l));
  const says = !lamps || !head.some(([, l]) => l) ? "not known" : [...lit, ...bad].join("; ") || "dark";
  $("traveller-says").textContent = says;
  $("traveller").setAttribute("aria-label", "Traveller's light: " + says);
}

// Words -------------------------------------------------------------------

function el(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = text;
  if (className) e.className = className;
  return e;
}

const number = (n) => Number(n).toLocaleString("en-CA");
const plural = (n, one, many) => number(n) + " " + (n === 1 ? one : many || one + "s");

function span(ms) {
  if (ms < 0) return "never";
  const s = ms / 1000;
  if (s < 1) return "<1 s";
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 172800) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " days";
}

const ago = (at) => (at ? span(Math.max(0, bootNow - Date.parse(at))) + " ago" : "never");
const clock = (at) => new Date(at).toLocaleTimeString("en-CA", { hour12: false });
const bytes = (n) => n >= 2 ** 30 ? (n / 2 ** 30).toFixed(1) + " GiB" : Math.round(n / 2 ** 20) + " MiB";
const micros = (us) => us <= 0 ? "\u2014" : us < 1000 ? us + " \u00b5s" : (us / 1000).toFixed(1) + " ms";

function pill(id, text, level) {
  const e = $(id);
  e.hidden = false;
  e.textContent = text;
  e.className = "pill " + level;
}

function codes(id, reasons) {
  $(id).replaceChildren(...(reasons || []).map((r) => {
    const li = el("li");
    li.append(el("b", r.code), " ", r.words);
    return li;
  }));
}

function facts(id, pairs) {
  $(id).replaceChildren(...pairs.map(([k, v]) => {
    const d = el("div");
    d.append(el("dt", k), el("dd", v));
    return d;
  }));
}

function rows(id, items, empty, make) {
  if (!items || items.length === 0) {
    const td = el("td", empty, "dim");
    td.colSpan = 7;
    const tr = el("tr");
    tr.append(td);
    $(id).replaceChildren(tr);
    return;
  }
  $(id).replaceChildren(...items.map((item) => {
    const tr = el("tr");
    tr.append(...make(item));
    return tr;
  }));
}

const num = (text, cls) => el("td", text, "num" + (cls ? " " + cls : ""));
function marked(text, level, more) {
  const td = el("td");
  td.append(el("span", text, "mark " + level));
  if (more) td.append(" ", el("span", more, "dim"));
  return td;
}
const outcomeClass = (o) => OUTCOMES.includes(o) ? o.toLowerCase() : "unknown";

// Parts of the page ---------------------------------------------------------

function showHead(p) {
  document.title = p.booth.id + " \u2014 " + p.health;
  $("booth").textContent = p.booth.id;
  $("site").textContent = [p.booth.site, p.booth.port, "into " + p.booth.direction].filter(Boolean).join(" \u00b7 ");
  $("simulated").hidden = !p.simulated;
  pill("lane", [p.lane.type.toUpperCase(), p.lane.mode, p.lane.open ? "open" : "closed"].join(" \u00b7 "), p.lane.open ? "" : "warn");
  pill("health", p.health, { healthy: "good", degraded: "warn" }[p.health] || "bad");
  $("version").textContent = `boothd ${p.version}, running for ${span(bootNow - Date.parse(p.started_at))}`;
}

function showAdvice(p) {
  const a = p.lane.now;
  $("advice").dataset.outcome = a ? outcomeClass(a.outcome) : "";
  $("outcome").textContent = !a ? (p.lane.open ? "Waiting" : "Closed") : a.ready ? "READY " + a.ready : a.outcome;
  $("lead").textContent = a ? a.lead.words : STATES[p.lane.state] || p.lane.state;
  codes("reasons", a ? a.reasons.filter((r) => r.code !== a.lead.code) : []);
  facts("vehicle", p.lane.state === "idle" ? [] : [
    ["Vehicle", STATES[p.lane.state] || p.lane.state],
    ["Cards", number(p.lane.cards)],
    ["Plate", p.lane.plate],
    ["Recorded", p.lane.durable ? "yes" : "not yet"],
    ["Released", p.lane.released ? "yes" : "no"],
  ]);
  $("why-box").hidden = p.why.length === 0;
  codes("why", p.why);
  $("warnings-box").hidden = p.warnings.length === 0;
  $("warnings").replaceChildren(...p.warnings.map((w) => el("li", w.words)));
  const t = p.totals, d = t.decision;
  facts("totals", [["Expedite", number(t.expedite)], ["Primary", number(t.primary)], ["Refer", number(t.refer)], ["Hold", number(t.hold)],
    ["Against advice", number(t.overridden)], ["Mean decision", d.count > 0 ? micros(Math.round(d.sum_us / d.count)) : "\u2014"]]);
}

function showStrip(p) {
  const tile = (title, big, level, small) => {
    const e = el("div", null, "card tile " + level);
    e.append(el("h2", title), el("p", big, "big"), el("p", small, "dim"));
    return e;
  };
  const o = p.outbox, s = p.store, c = p.clock;
  const receipt = o.receipt_ms < 0 ? "no receipt yet" : "receipt " + span(o.receipt_ms) + " ago";
  const set = o.quarantined > 0 ? ", " + plural(o.quarantined, "event") + " refused" : "";
  const room = s.max_bytes > 0 ? Math.round((100 * s.bytes) / s.max_bytes) + "% of " + bytes(s.max_bytes) + ", " : "";
  const holds = s.holds_ms < 0 ? "" : ", holds " + span(s.holds_ms) + " at this rate";
  const drop = s.dropped > 0 ? ", " + plural(s.dropped, "read") + " dropped" : "";
  $("strip").replaceChildren(
    tile("Headquarters", o.link ? "linked" : "no link", o.link ? "good" : "bad", (o.broker ? o.broker + ", " : "") + (o.since ? "for " + span(bootNow - Date.parse(o.since)) : receipt)),
    tile("Outbox", o.waiting === 0 ? "all delivered" : plural(o.waiting, "event") + " waiting", o.quarantined > 0 || (!o.link && o.waiting > 0) ? "warn" : "",
      (o.waiting > 0 ? "oldest " + span(o.oldest_ms) + ", " : "") + receipt + set),
    tile("Journal", s.ok ? "recording" : "does not answer", s.ok ? "good" : "bad", room + bytes(s.free_bytes) + " free" + holds + drop),
    tile("Clock", c.quality, { synced: "good", holdover: "" }[c.quality] ?? "bad", c.err_ms > 0 ? "within " + c.err_ms + " ms" : "error not known"),
  );
}

function showTables(p) {
  rows("last", p.last, "None since the start.", (x) => [
    el("td", clock(x.at)),
    marked(x.advice.outcome, outcomeClass(x.advice.outcome)),
    el("td", x.advice.lead.code ? x.advice.lead.code + " " + x.advice.lead.words : ""),
    el("td", plural(x.cards, "card") + ", plate " + x.plate),
    el("td", x.end + (x.overridden ? ", against advice" : x.released ? ", released" : "")),
    num(micros(x.decision_us)),
    el("td", x.delivery || "not known", x.delivery === "waiting" ? "warn" : "dim"),
  ]);
  rows("devices", p.devices, "None configured.", (d) => {
    const name = el("td");
    name.append(el("b", d.name), " ", el("span", d.role + ", " + d.driver, "dim"));
    const bad = (n) => num(number(n), n > 0 ? "warn" : "");
    return [name,
      marked(d.online ? "online" : "offline", d.online ? "good" : "bad", (d.since ? span(Math.max(0, bootNow - Date.parse(d.since))) : "") + (d.online || !d.reason ? "" : ": " + d.reason)),
      el("td", ago(d.read_at)), num(number(d.counts.frames)), bad(d.counts.check_errors), bad(d.counts.timeouts), num(number(d.counts.reopens))];
  });
  rows("lists", p.lists, "None taken yet.", (l) => [
    el("td", l.kind),
    marked(l.state, { fresh: "good", aging: "warn" }[l.state] || "bad", l.rejected ? "newest was refused" : ""),
    num(l.generation || "\u2014"), num(number(l.rows)), num(l.age_ms < 0 ? "never" : span(l.age_ms) + " ago")]);
}

function show(p) {
  showHead(p);
  drawLamps(p.lamps);
  showAdvice(p);
  showStrip(p);
  showTables(p);
}

// Life ------------------------------------------------------------------------

// cover puts the veil off for another VEIL_MS, or lets it fall now.
function cover(now) {
  const veil = $("veil");
  veil.getAnimations().forEach((a) => a.cancel());
  if (!now) veil.animate([{ opacity: 0 }, { opacity: 0, offset: 0.99 }, { opacity: 1 }], { duration: VEIL_MS, fill: "forwards" });
}

function live() {
  const fresh = performance.now() - heardAt <= SILENT_MS;
  const ok = fresh && picture !== null && sick === "";
  const root = document.documentElement;
  const was = root.dataset.live;
  root.dataset.live = ok ? "yes" : "no";
  if (ok) {
    pill("live", "live", "good");
    $("banner").hidden = true;
    return;
  }
  cover(true);
  drawLamps(null);
  pill("health", "health unknown", "");
  document.title = "NOT LIVE \u2014 " + (picture ? picture.booth.id : "boothd");
  pill("live", fresh ? sick || "starting" : "not connected", "bad");
  const since = picture ? ` What is below was true at ${clock(picture.at)} and may not be now.` : " Nothing below is known yet.";
  const why = fresh ? (picture ? "boothd answers, but its lane has stopped reporting." : "boothd is starting.") : "No connection to boothd.";
  if (was === "yes" || $("banner").textContent !== why + since) $("banner").textContent = why + since;
  $("banner").hidden = false;
}

function onBeat(e) {
  const b = JSON.parse(e.data);
  bootNow = Date.parse(b.now);
  sick = b.stale && picture ? "stale" : "";
  heardAt = performance.now();
  if (!b.stale) {
    cover(false);
    if (picture && document.documentElement.dataset.live === "no") show(picture);
  }
  live();
}

function onPicture(e) {
  picture = JSON.parse(e.data);
  bootNow = Date.parse(picture.at);
  show(picture); // the beat that follows says whether it is to be believed
}

function connect() {
  if (source) source.close();
  source = new EventSource("/events");
  source.addEventListener("picture", onPicture);
  source.addEventListener("beat", onBeat);
}

setInterval(() => {
  live();
  // A refusal (too many viewers) closes an EventSource for good.
  if (source.readyState === EventSource.CLOSED) connect();
}, RETRY_MS / 3);
addEventListener("pageshow", live); // a page out of the browser's memory is old
document.addEventListener("visibilitychange", live);
connect();
