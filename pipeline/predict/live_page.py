"""The page of `actionbank live`: the camera's frames with boxes, ids and actions, as the server sends them."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>actionbank live</title>
<style>
body { margin: 0; background: #111; color: #eee; font: 15px sans-serif; }
#film { position: relative; display: inline-block; max-width: 100%; }
#film img { display: block; max-width: 100%; min-width: 480px; }
.box { position: absolute; border: 2px solid; box-sizing: border-box; }
.box span { position: absolute; left: 0; bottom: 100%; background: #000a; padding: 0 .3em; white-space: pre; }
#state, #log { padding: .5em; margin: 0; }
</style></head><body>
<div id="film"><img id="frames" alt="the camera"><div id="boxes"></div></div>
<p id="state" role="status">waiting for the first scored time</p><ol id="log" reversed></ol>
<script>
"use strict";
const query = location.search, boxes = document.getElementById("boxes");
const state = document.getElementById("state"), log = document.getElementById("log");
const colour = id => id === null ? "#b0b0b0" : `hsl(${(209 + 222.5 * id) % 360} 75% 60%)`;
document.getElementById("frames").src = "frames" + query;
const events = new EventSource("events" + query);
events.addEventListener("second", event => {
  const second = JSON.parse(event.data);
  boxes.replaceChildren(...second.persons.map(person => {
    const box = document.createElement("div"), text = document.createElement("span");
    box.className = "box";
    box.style.borderColor = text.style.color = colour(person.track_id);
    for (const [side, value] of [["left", person.x1], ["top", person.y1],
         ["width", person.x2 - person.x1], ["height", person.y2 - person.y1]])
      box.style[side] = 100 * value + "%";
    text.textContent = [person.track_id === null ? "" : "#" + person.track_id,
      ...person.actions.map(action => `${action.name} ${action.score.toFixed(2)}`)].filter(Boolean).join("\\n");
    box.append(text);
    return box;
  }));
  state.textContent = `${second.time_seconds.toFixed(1)} s, persons: ${second.persons.length}`;
  for (const person of second.persons) for (const action of person.actions.slice(0, 1)) {
    const line = document.createElement("li");
    line.textContent = `${second.time_seconds.toFixed(1)} s  #${person.track_id}  ${action.name}`;
    log.prepend(line);
  }
  while (log.children.length > 50) log.lastChild.remove();
});
events.addEventListener("end", event => {
  state.textContent = event.data;
  events.close();
});
</script></body></html>
"""


def live_page() -> str:
    """Return the HTML of the page; it asks for `frames` and `events` beside it, with its own query (the token)."""
    return PAGE
