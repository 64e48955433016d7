// Shortcuts, the attention overlay, the aligned view and zooming. Every page works without this file.
"use strict";

const page = document.body.dataset.page;

function typing(target) {
  return target.matches("input:not([type=range]), textarea, select");
}

function press(element) {
  if (element.matches("input")) element.focus();
  else if (element.form && element.type === "submit") element.form.requestSubmit(element);
  else element.click();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "m" && document.getElementById("note")) {
    event.preventDefault();
    document.getElementById("note").focus();
    return;
  }
  if (page === "queue" && (event.key === "j" || event.key === "k")) {
    event.preventDefault();
    moveInQueue(event.key === "j" ? 1 : -1);
    return;
  }
  if (page === "queue" && event.key === "r") {
    location.reload();
    return;
  }
  const tool = { a: "attention", b: "blink", d: "difference", o: "aligned", 0: "reset" }[event.key];
  const target = (tool && document.querySelector(`[data-tool="${tool}"]`)) || document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (target && !target.hidden && !event.repeat) {
    event.preventDefault();
    press(target);
  }
});

function moveInQueue(step) {
  const rows = [...document.querySelectorAll(".row")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

// One decision for one alert, however often the key is pressed.
for (const form of document.querySelectorAll(".decide")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => delete form.dataset.sent);
}

if (page === "queue") {
  const { newest, watch } = document.body.dataset;
  const asking = setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(`${watch}?after=${newest}`);
      if (!answer.ok) clearInterval(asking);
      else if ((await answer.json()).new > 0) document.querySelector(".news").hidden = false;
    } catch {
      // The server is being restarted; ask again at the next turn.
    }
  }, 10000);
}

const stages = [...document.querySelectorAll(".stage")];
if (stages.length) {
  document.documentElement.classList.add("movable");
  for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;
  const left = document.querySelector('[data-side="left"] .layer');
  const right = document.querySelector('[data-side="right"] .film');
  const view = { zoom: 1, x: 0, y: 0 };

  // The overlay covers the picture, not the black beside it.
  const fitHeat = () => {
    for (const heat of document.querySelectorAll(".heat")) {
      const film = heat.parentElement.querySelector(".film");
      const share = Math.min(film.clientWidth / film.naturalWidth, film.clientHeight / film.naturalHeight);
      if (!Number.isFinite(share)) continue;
      const [width, height] = [film.naturalWidth * share, film.naturalHeight * share];
      Object.assign(heat.style, {
        width: `${width}px`, height: `${height}px`,
        left: `${(film.clientWidth - width) / 2}px`, top: `${(film.clientHeight - height) / 2}px`,
      });
    }
  };
  addEventListener("resize", fitHeat);
  for (const film of document.querySelectorAll(".film")) film.addEventListener("load", fitHeat);

  const show = () => {
    for (const layer of document.querySelectorAll(".layer")) {
      layer.style.transform = `translate(${view.x * layer.clientWidth}px, ${view.y * layer.clientHeight}px) scale(${view.zoom})`;
    }
  };
  const keepInside = () => {
    view.x = Math.min(0, Math.max(1 - view.zoom, view.x));
    view.y = Math.min(0, Math.max(1 - view.zoom, view.y));
    show();
  };
  for (const stage of stages) {
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const zoom = Math.min(8, Math.max(1, view.zoom * Math.exp(-event.deltaY / 400)));
      view.x = x - ((x - view.x) * zoom) / view.zoom;
      view.y = y - ((y - view.y) * zoom) / view.zoom;
      view.zoom = zoom;
      keepInside();
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      stage.classList.add("moving");
    });
    stage.addEventListener("pointermove", (event) => {
      if (!stage.classList.contains("moving")) return;
      view.x += event.movementX / stage.clientWidth;
      view.y += event.movementY / stage.clientHeight;
      keepInside();
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => stage.classList.remove("moving"));
  }

  let rival = null;
  let blinking = 0;
  const compareBy = (mode) => {
    clearInterval(blinking);
    if (rival) rival.remove();
    rival = null;
    if (!mode || !right) return;
    rival = document.createElement("img");
    rival.className = `rival ${mode}`;
    rival.alt = "";
    rival.src = right.src;
    left.append(rival);
    if (mode === "blink") blinking = setInterval(() => { rival.hidden = !rival.hidden; }, 650);
  };
  // The other image laid over the new one by the workers: both at full strength in the middle of the slider.
  const aligned = document.querySelector(".aligned");
  const fade = aligned && aligned.querySelector(".fade input");
  const fadeTo = (share) => {
    aligned.querySelector('[data-part="new"]').style.opacity = Math.min(1, 2 * (1 - share));
    aligned.querySelector('[data-part="other"]').style.opacity = Math.min(1, 2 * share);
  };
  if (fade) fade.addEventListener("input", () => fadeTo(fade.value / 100));
  const blinkAligned = (on) => {
    clearInterval(blinking);
    let other = false;
    if (on) blinking = setInterval(() => { other = !other; fadeTo(other ? 1 : 0); }, 650);
    else fadeTo(fade.value / 100);
  };
  const loadAligned = async () => {
    const [panes, status] = [aligned.querySelector(".panes"), aligned.querySelector('[role="status"]')];
    if (!panes.hidden) return;
    status.textContent = "Laying the image on the right over the new one…";
    let found = { problem: "The dashboard did not answer; try again in a moment." };
    try {
      const answer = await fetch(aligned.dataset.address);
      if (answer.ok) found = await answer.json();
    } catch {
      // The server is being restarted; the sentence above says what to do.
    }
    status.textContent = found.problem || found.caption;
    if (found.problem) return;
    for (const [part, address] of Object.entries(found.pictures)) aligned.querySelector(`[data-part="${part}"]`).src = address;
    panes.hidden = false;
  };
  const actions = {
    aligned(on) {
      compareBy(null);
      document.querySelector(".compare > .panes").hidden = on;
      aligned.hidden = !on;
      fadeTo(fade.value / 100);
      for (const one of document.querySelectorAll('[data-tool="attention"], [data-tool="difference"]')) one.hidden = on;
      if (on) loadAligned();
    },
    attention(on) {
      for (const heat of document.querySelectorAll(".heat")) {
        if (on && !heat.src) heat.src = heat.dataset.src;
        heat.hidden = !on;
      }
      fitHeat();
    },
    blink: (on) => (aligned && !aligned.hidden ? blinkAligned(on) : compareBy(on ? "blink" : null)),
    difference: (on) => compareBy(on ? "difference" : null),
    reset() {
      Object.assign(view, { zoom: 1, x: 0, y: 0 });
      show();
    },
  };
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => {
      const { tool } = button.dataset;
      const on = button.getAttribute("aria-pressed") === "false";
      if (tool === "blink" || tool === "difference" || tool === "aligned") {
        for (const one of document.querySelectorAll('[data-tool="blink"], [data-tool="difference"]')) one.setAttribute("aria-pressed", "false");
      }
      if (button.hasAttribute("aria-pressed")) button.setAttribute("aria-pressed", String(on));
      actions[tool](on);
    });
  }
}
