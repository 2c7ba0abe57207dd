"use strict";
// The page reads its data from the element #data. Text from outside enters the page as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const video = $("film"), canvas = $("boxes"), ink = canvas.getContext("2d");
const manySpans = 5000;
const colours = ["#4aa3ff", "#ffb000", "#ff5c8a", "#7ee081", "#c792ea", "#ffd866", "#5ad4e6", "#ff8a4c"];
const state = { film: null, own: true, threshold: 0.5, hidden: new Set(), chosen: null, truth: true, spans: [] };

function make(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
}

const limit = (action) => (state.own ? data.labels[action].threshold : state.threshold);
const shows = (action, score) => !state.hidden.has(action) && score >= limit(action);
const colour = (track) => colours[Math.abs(track) % colours.length];
const trackName = (track) => (track === data.missed ? "not found" : track < 0 ? "persons without a track" : `person ${track}`);
const clock = (time) => {
  const tenths = Math.round(time * 10), minutes = Math.floor(tenths / 600);
  return `${minutes}:${((tenths - minutes * 600) / 10).toFixed(1).padStart(4, "0")}`;
};

function indexFilm(film) {
  film.tracks = new Map();
  film.parts = new Map();
  film.seconds.forEach((second) => second.p.forEach((person) => {
    person.t = second.t;
    if (!film.tracks.has(person.k)) film.tracks.set(person.k, []);
    film.tracks.get(person.k).push(person);
  }));
  film.tracks = new Map([...film.tracks].sort((a, b) => a[0] - b[0]));
}

function openFilm(number) {
  const film = data.films[number];
  if (!film.tracks) indexFilm(film);
  Object.assign(state, { film, chosen: null, spans: [] });
  $("lost").style.display = "none";
  video.src = film.src;
  thumbs.video.src = film.src;
  $("about").textContent = `${film.width} x ${film.height}, ${clock(film.duration)}, ${film.tracks.size} tracks`;
  refresh();
}

// Boxes between two predictions of a track lie on the line between them; labels are those of the nearer one.
function boxesAt(time) {
  const found = [];
  for (const [track, persons] of state.film.tracks) {
    if (track < 0) {
      for (const person of persons) if (Math.abs(person.t - time) <= data.every / 2) found.push({ person, box: person.b });
      continue;
    }
    let low = 0, high = persons.length;
    while (low < high) { const middle = (low + high) >> 1; if (persons[middle].t <= time) low = middle + 1; else high = middle; }
    const before = persons[low - 1], after = persons[low];
    if (before && after && after.t - before.t <= 1.5 * data.every) {
      const share = (time - before.t) / (after.t - before.t);
      found.push({ person: share < 0.5 ? before : after, box: before.b.map((edge, i) => edge + share * (after.b[i] - edge)) });
    } else {
      const near = [before, after].filter((each) => each && Math.abs(each.t - time) <= data.every / 2)[0];
      if (near) found.push({ person: near, box: near.b });
    }
  }
  return found;
}

// Where the film's picture lies in its element, which may be wider or taller.
function place() {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const scale = Math.min(width / state.film.width, height / state.film.height);
  const w = state.film.width * scale, h = state.film.height * scale;
  return { x: (width - w) / 2, y: (height - h) / 2, w, h };
}

function draw() {
  const ratio = window.devicePixelRatio || 1, at = place();
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  ink.font = "12px system-ui, sans-serif";
  const found = boxesAt(video.currentTime);
  let drawn = 0;
  for (const { person, box } of found) {
    const missed = person.k === data.missed;
    if (missed && !state.truth) continue;
    const [x1, y1, x2, y2] = [at.x + box[0] * at.w, at.y + box[1] * at.h, at.x + box[2] * at.w, at.y + box[3] * at.h];
    ink.strokeStyle = missed ? "#1a8f3c" : colour(person.k);
    ink.lineWidth = person.k === state.chosen ? 4 : 2;
    ink.setLineDash(missed ? [6, 4] : []);
    ink.strokeRect(x1, y1, x2 - x1, y2 - y1);
    drawn += 1;
    const lines = person.a.filter(([action, score]) => shows(action, score)).slice(0, 5)
      .map(([action, score]) => [data.labels[action].name, score, person.g && !person.g.includes(action)]);
    if (person.g && state.truth) {
      for (const action of person.g) {
        const score = (person.a.find(([each]) => each === action) || [0, 0])[1];
        if (!state.hidden.has(action) && !(score >= limit(action))) lines.push([data.labels[action].name, null, true]);
      }
    }
    lines.forEach(([name, score, wrong], i) => {
      const text = score === null ? `missed: ${name}` : `${name} ${score.toFixed(2)}`;
      const y = Math.max(y1, 0) + 14 * i;
      ink.fillStyle = "#000a";
      ink.fillRect(x1, y, ink.measureText(text).width + 6, 14);
      if (score !== null) { ink.fillStyle = colour(person.k) + "66"; ink.fillRect(x1, y + 11, (ink.measureText(text).width + 6) * score, 3); }
      ink.fillStyle = wrong && state.truth ? "#ff9d9d" : "#fff";
      ink.fillText(text, x1 + 3, y + 11);
    });
  }
  canvas.dataset.drawn = drawn;
  $("time").textContent = `${clock(video.currentTime)} / ${clock(state.film.duration)}`;
  const lane = document.querySelector(".lane");
  if (lane && $("head")) $("head").style.left = `${lane.offsetLeft + lane.clientWidth * video.currentTime / state.film.duration}px`;
}

// Runs of predictions of one class: [from, to, kind], where kind is found, or right, wrong or missed beside the truth.
function spansOf(persons, action) {
  const spans = [];
  for (const person of persons) {
    const score = (person.a.find(([each]) => each === action) || [0, 0])[1];
    const shown = !state.hidden.has(action) && score >= limit(action) && person.k !== data.missed;
    const real = person.g && state.truth ? person.g.includes(action) && !state.hidden.has(action) : null;
    const kind = shown ? (real === null ? "found" : real ? "right" : "wrong") : real ? "missed" : null;
    if (!kind) continue;
    const last = spans[spans.length - 1];
    if (last && last.kind === kind && person.t - last.end <= 1.5 * data.every) last.end = person.t;
    else spans.push({ start: person.t, end: person.t, kind, action, track: person.k });
  }
  return spans;
}

function drawLines() {
  const lines = $("lines"), duration = state.film.duration, counts = data.labels.map(() => 0);
  lines.replaceChildren(make("div"));
  lines.firstChild.id = "head";
  state.spans = [];
  for (const [track, persons] of state.film.tracks) {
    if (track === data.missed && !state.truth) continue;
    const block = make("div", undefined, "track" + (track === state.chosen ? " chosen" : ""));
    block.dataset.track = track;
    const name = make("button", trackName(track));
    name.style.color = track < 0 ? "" : colour(track);
    name.addEventListener("click", () => { choose(track); if (!persons.some((each) => Math.abs(each.t - video.currentTime) < data.every)) go(persons[0].t); });
    block.append(name, make("div", undefined, "lane"));
    const actions = new Set();
    persons.forEach((person) => { person.a.forEach(([action]) => actions.add(action)); (person.g || []).forEach((action) => actions.add(action)); });
    for (const action of [...actions].sort((a, b) => a - b)) {
      const spans = spansOf(persons, action);
      if (!spans.length) continue;
      const row = make("div", undefined, "row"), lane = make("div", undefined, "lane");
      for (const span of spans) {
        const button = make("button", undefined, `span ${span.kind}`), from = Math.max(0, span.start - data.every / 2);
        button.style.left = `${100 * from / duration}%`;
        button.style.width = `${100 * Math.min(duration - from, span.end - from + data.every / 2) / duration}%`;
        button.title = `${data.labels[action].name}, ${trackName(track)}, ${clock(span.start)} to ${clock(span.end)}, ${span.kind}`;
        button.setAttribute("aria-label", button.title);
        button.dataset.start = span.start;
        button.dataset.track = track;
        lane.append(button);
        if (span.kind !== "missed") counts[action] += 1;
        state.spans.push(span);
      }
      const label = make("div", data.labels[action].name, "name");
      label.title = data.labels[action].name;
      row.append(label, lane);
      block.append(row);
    }
    lines.append(block);
  }
  state.spans.sort((a, b) => a.start - b.start);
  document.querySelectorAll("#classes label").forEach((label) => { label.lastChild.textContent = counts[Number(label.dataset.action)] || ""; });
  lines.dataset.spans = state.spans.length;
}

function drawClasses() {
  const box = $("classes");
  let group = null;
  data.labels.forEach((label, action) => {
    if (label.group !== group) { box.append(make("h3", label.group)); group = label.group; }
    const row = make("label"), tick = make("input");
    row.dataset.action = action;
    tick.type = "checkbox";
    tick.checked = true;
    tick.addEventListener("change", () => { tick.checked ? state.hidden.delete(action) : state.hidden.add(action); refresh(); });
    row.append(tick, make("span", label.name), make("span"));
    box.append(row);
  });
  const all = (on) => { box.querySelectorAll("label").forEach((row) => { if (row.hidden) return; row.firstChild.checked = on; const action = Number(row.dataset.action); on ? state.hidden.delete(action) : state.hidden.add(action); }); refresh(); };
  $("all").addEventListener("click", () => all(true));
  $("none").addEventListener("click", () => all(false));
  $("search").addEventListener("input", () => {
    const word = $("search").value.toLowerCase();
    box.querySelectorAll("label").forEach((row) => { row.hidden = !data.labels[Number(row.dataset.action)].name.toLowerCase().includes(word); row.style.display = row.hidden ? "none" : ""; });
  });
}

// Small pictures come from a second, hidden copy of the film, one after the other.
const thumbs = {
  video: $("copy"), queue: [], busy: false,
  add(canvas, time, box) { this.queue.push({ canvas, time, box }); if (!this.busy) this.next(); },
  next() {
    const job = this.queue.shift();
    this.busy = Boolean(job);
    if (!job) return;
    if (!job.canvas.isConnected) { this.next(); return; }
    const done = () => {
      this.video.removeEventListener("seeked", done);
      const [x1, y1, x2, y2] = job.box, w = this.video.videoWidth, h = this.video.videoHeight;
      if (w) {
        const side = Math.max((x2 - x1) * w, (y2 - y1) * h), scale = 56 / side;
        const brush = job.canvas.getContext("2d");
        brush.drawImage(this.video, x1 * w, y1 * h, (x2 - x1) * w, (y2 - y1) * h,
          (56 - (x2 - x1) * w * scale) / 2, (56 - (y2 - y1) * h * scale) / 2, (x2 - x1) * w * scale, (y2 - y1) * h * scale);
        job.canvas.dataset.drawn = "1";
      }
      this.next();
    };
    this.video.addEventListener("seeked", done);
    this.video.currentTime = job.time;
  },
};

const blocks = { P: "persons of the clip", O: "objects of the clip", M: "window", past: "window, past", future: "window, future" };

const kinds = ["empty", "row", "person", "object"];

// What was looked at lies in elements of their own, which are read when one of their persons is asked for.
function looksOf(person) {
  const number = Math.floor(person.w / data.part), parts = state.film.parts;
  if (!parts.has(number)) parts.set(number, JSON.parse($(`why-${data.films.indexOf(state.film)}-${number}`).textContent));
  const part = parts.get(number);
  return part.persons[person.w % data.part].map(([place, ...pairs]) => {
    const [block, layer] = part.layers[place], rows = [];
    for (let i = 0; i < pairs.length; i += 2) {
      const [kind, t, k, ...box] = part.seen[pairs[i]];
      rows.push({ seen: kinds[kind], t, k, b: box.length ? box.map((edge) => edge / 1000) : null, w: pairs[i + 1] / 1000 });
    }
    return { block, layer, rows };
  });
}

function drawWhy() {
  const box = $("why");
  box.replaceChildren();
  thumbs.queue.length = 0;
  if (!state.film.why) return;
  const person = state.chosen === null ? null : nearest(state.film.tracks.get(state.chosen) || [], video.currentTime);
  box.append(make("h2", "Why"));
  const looks = person && person.w !== undefined ? looksOf(person) : null;
  if (!looks) { box.append(make("p", "Choose a person in the picture or in the lines below.", "note")); return; }
  box.append(make("p", `What the head attended to for ${trackName(person.k)} at ${clock(person.t)}`, "note"));
  for (const look of looks) {
    box.append(make("h3", `${blocks[look.block] || look.block}, layer ${look.layer}`));
    const shown = look.rows.reduce((sum, row) => sum + row.w, 0);
    box.append(make("p", `${look.rows.length} largest weight${look.rows.length === 1 ? "" : "s"}, ${(100 * shown).toFixed(0)} % of all`, "note"));
    const times = look.rows.filter((row) => row.t !== null).map((row) => row.t);
    if (!["P", "O"].includes(look.block) && times.length) box.append(strip(look, person));
    const table = make("table");
    for (const row of look.rows) table.append(whyRow(row, look.rows[0].w));
    box.append(table);
  }
}

function strip(look, person) {
  const times = look.rows.filter((row) => row.t !== null).map((row) => row.t).concat(person.t);
  const low = Math.min(...times) - 1, high = Math.max(...times) + 1, most = look.rows[0].w;
  const line = make("div", undefined, "strip"), now = make("b");
  const left = (time) => `${100 * (time - low) / (high - low)}%`;
  now.style.left = left(person.t);
  line.append(now);
  for (const row of look.rows) {
    if (row.t === null) continue;
    const mark = make("i");
    mark.style.left = left(row.t);
    mark.style.height = `${100 * row.w / most}%`;
    line.append(mark);
  }
  return line;
}

function whyRow(row, most) {
  const line = make("tr"), picture = make("td"), small = make("canvas");
  small.width = small.height = 56;
  picture.append(small);
  const bar = make("span", undefined, "bar"), weight = make("td", `${(100 * row.w).toFixed(1)} % `);
  bar.style.width = `${Math.round(80 * row.w / most)}px`;
  weight.append(bar);
  const who = row.seen === "empty" ? "an empty slot" : row.k >= 0 ? trackName(row.k) : row.seen;
  line.append(picture, make("td", row.t === null ? "" : clock(row.t)), make("td", who), weight);
  if (row.t !== null) {
    line.addEventListener("click", () => go(row.t, false));
    if (row.b) setTimeout(() => thumbs.add(small, row.t, row.b));
  }
  return line;
}

function nearest(persons, time) {
  let best = null;
  for (const person of persons) if (!best || Math.abs(person.t - time) < Math.abs(best.t - time)) best = person;
  return best && Math.abs(best.t - time) <= data.every ? best : null;
}

function choose(track, quiet) {
  state.chosen = track;
  if (!quiet) drawWhy();
  document.querySelectorAll(".track").forEach((block) => block.classList.toggle("chosen", Number(block.dataset.track) === track));
  draw();
}

function go(time, explain = true) {
  video.pause();
  video.currentTime = Math.max(0, Math.min(time, state.film.duration - 0.001));
  if (explain) state.explain = true;
}

function step(count) {
  const times = state.film.seconds.map((second) => second.t), now = video.currentTime;
  if (!times.length) return;
  let place = times.findIndex((time) => time > now + 0.01);
  if (place < 0) place = times.length;
  if (count < 0 && place > 0 && times[place - 1] >= now - 0.01) place -= 1;
  go(times[Math.max(0, Math.min(times.length - 1, count > 0 ? place + count - 1 : place + count))]);
}

function nextSpan(direction) {
  const now = video.currentTime, spans = direction > 0 ? state.spans : [...state.spans].reverse();
  const span = spans.find((each) => direction * (each.start - now) > 0.01);
  if (span) { choose(span.track, true); go(span.start); }
}

function setThreshold(value) {
  state.own = false;
  state.threshold = Math.max(0, Math.min(1, value));
  refresh();
}

function refresh() {
  $("threshold").value = state.threshold;
  $("own").checked = state.own;
  $("shown").textContent = state.own ? "the model's" : state.threshold.toFixed(2);
  $("truth").checked = state.truth;
  draw();
  // A long film has so many spans that a slider could not move if each of its steps drew them all.
  clearTimeout(state.later);
  if (state.spans.length < manySpans) drawLines();
  else state.later = setTimeout(drawLines, 150);
}

const keys = {
  " ": () => (video.paused ? video.play() : video.pause()),
  ArrowRight: (event) => step(event.shiftKey ? 10 : 1),
  ArrowLeft: (event) => step(event.shiftKey ? -10 : -1),
  ArrowUp: () => setThreshold(state.threshold + 0.05),
  ArrowDown: () => setThreshold(state.threshold - 0.05),
  ".": () => go(video.currentTime + 1 / state.film.fps, false),
  ",": () => go(video.currentTime - 1 / state.film.fps, false),
  n: () => nextSpan(1),
  p: () => nextSpan(-1),
  t: () => { state.truth = !state.truth; refresh(); },
  m: () => { state.own = !state.own; refresh(); },
  Home: () => go(0),
  End: () => go(state.film.duration),
};

function listen() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    if (document.activeElement && document.activeElement !== document.body) document.activeElement.blur();
    keys[event.key](event);
  });
  $("lines").addEventListener("click", (event) => {
    const span = event.target.closest(".span");
    if (span) { const start = Number(span.dataset.start); choose(Number(span.dataset.track), true); go(start); }
  });
  $("threshold").addEventListener("input", () => setThreshold(Number($("threshold").value)));
  $("own").addEventListener("change", () => { state.own = $("own").checked; refresh(); });
  $("truth").addEventListener("change", () => { state.truth = $("truth").checked; refresh(); });
  $("speed").addEventListener("change", () => { video.playbackRate = Number($("speed").value); });
  $("play").addEventListener("click", () => keys[" "]());
  $("films").addEventListener("change", () => openFilm($("films").selectedIndex));
  canvas.addEventListener("click", (event) => {
    const at = place(), x = (event.offsetX - at.x) / at.w, y = (event.offsetY - at.y) / at.h;
    const hit = boxesAt(video.currentTime).find(({ box }) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]);
    if (hit) choose(hit.person.k); else keys[" "]();
  });
  video.addEventListener("seeked", () => { draw(); if (state.explain) { state.explain = false; drawWhy(); } });
  video.addEventListener("pause", drawWhy);
  video.addEventListener("loadeddata", draw);
  video.addEventListener("error", () => {
    $("lost").style.display = "block";
    $("where").textContent = `The film is not at ${state.film.src}, or this browser cannot play it. Choose it here: `;
  });
  $("file").addEventListener("change", () => {
    const url = URL.createObjectURL($("file").files[0]);
    $("lost").style.display = "none";
    video.src = url;
    thumbs.video.src = url;
  });
  window.addEventListener("resize", draw);
  const tick = () => { if (!video.paused) draw(); requestAnimationFrame(tick); };
  tick();
}

data.films.forEach((film) => $("films").append(make("option", film.id)));
$("films").hidden = data.films.length < 2;
$("truthbox").hidden = !data.films.some((film) => film.seconds.some((second) => second.p.some((person) => person.g)));
drawClasses();
listen();
openFilm(0);
document.documentElement.dataset.ready = "1";
