"use strict";
// Shows what a server pushes: `frames` (pictures) and `events` (a line of JSON for each scored time, then `end`).
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("boxes"), ink = canvas.getContext("2d"), picture = $("frames");
const colours = ["#4aa3ff", "#ffb000", "#ff5c8a", "#7ee081", "#c792ea", "#ffd866", "#5ad4e6", "#ff8a4c"];
const state = { seconds: [], hidden: new Set(), classes: new Set(), threshold: 0 };

function make(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
}

const colour = (track) => (track === null ? "#b0b0b0" : colours[Math.abs(track) % colours.length]);
const nameOf = (track) => (track === null ? "no track" : `person ${track}`);
const shows = (action) => !state.hidden.has(action.name) && action.score >= state.threshold;

function draw() {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.font = "13px system-ui, sans-serif";
  const last = state.seconds[state.seconds.length - 1];
  const persons = last ? last.persons : [];
  for (const person of persons) {
    const x = person.x1 * width, y = person.y1 * height;
    ink.strokeStyle = colour(person.track_id);
    ink.lineWidth = 2;
    ink.strokeRect(x, y, (person.x2 - person.x1) * width, (person.y2 - person.y1) * height);
    person.actions.filter(shows).slice(0, 5).forEach((action, i) => {
      const text = `${action.name} ${action.score.toFixed(2)}`;
      ink.fillStyle = "#000a";
      ink.fillRect(x, Math.max(y, 0) + 15 * i, ink.measureText(text).width + 6, 15);
      ink.fillStyle = "#fff";
      ink.fillText(text, x + 3, Math.max(y, 0) + 15 * i + 12);
    });
  }
  canvas.dataset.drawn = persons.length;
}

function drawLines() {
  const last = state.seconds[state.seconds.length - 1], rows = new Map();
  if (!last) return;
  for (const second of state.seconds) {
    for (const person of second.persons) {
      for (const action of person.actions.filter(shows)) {
        const key = JSON.stringify([person.track_id, action.name]);
        if (!rows.has(key)) rows.set(key, { track: person.track_id, name: action.name, times: [] });
        rows.get(key).times.push(second.time_seconds);
      }
    }
  }
  const sorted = [...rows.values()].sort((a, b) => (a.track ?? -1) - (b.track ?? -1) || a.name.localeCompare(b.name));
  $("lines").replaceChildren(...sorted.map((row) => {
    const block = make("div", undefined, "track"), name = make("span", `${nameOf(row.track)}: ${row.name}`, "name");
    const lane = make("div", undefined, "lane");
    name.style.color = colour(row.track);
    name.title = name.textContent;
    for (const time of row.times) {
      const mark = make("i");
      mark.style.right = `${100 * (last.time_seconds - time) / data.seconds}%`;
      mark.style.width = `${100 / data.seconds}%`;
      lane.append(mark);
    }
    block.append(name, lane);
    return block;
  }));
}

function learnClasses(second) {
  for (const person of second.persons) {
    for (const { name } of person.actions) {
      if (state.classes.has(name)) continue;
      state.classes.add(name);
      const row = make("label"), tick = make("input");
      tick.type = "checkbox";
      tick.checked = true;
      tick.addEventListener("change", () => { tick.checked ? state.hidden.delete(name) : state.hidden.add(name); refresh(); });
      row.append(tick, make("span", name));
      $("classes").append(row);
    }
  }
}

function refresh() {
  $("shown").textContent = state.threshold ? state.threshold.toFixed(2) : "the model's";
  draw();
  drawLines();
}

function take(second) {
  state.seconds.push(second);
  while (state.seconds[0].time_seconds <= second.time_seconds - data.seconds) state.seconds.shift();
  learnClasses(second);
  $("state").textContent = `${second.time_seconds.toFixed(1)} s, persons: ${second.persons.length}`;
  for (const person of second.persons) {
    const best = person.actions.filter(shows)[0];
    if (best) $("log").prepend(make("li", `${second.time_seconds.toFixed(1)} s  ${nameOf(person.track_id)}  ${best.name}`));
  }
  while ($("log").children.length > 100) $("log").lastChild.remove();
  refresh();
}

$("threshold").addEventListener("input", () => { state.threshold = Number($("threshold").value); refresh(); });
window.addEventListener("resize", draw);
picture.addEventListener("load", draw);
picture.src = "frames" + location.search;
const events = new EventSource("events" + location.search);
events.addEventListener("second", (event) => take(JSON.parse(event.data)));
events.addEventListener("end", (event) => {
  $("state").textContent = event.data || "the camera has ended";
  $("state").className = "over";
  events.close();
});
document.documentElement.dataset.ready = "1";
