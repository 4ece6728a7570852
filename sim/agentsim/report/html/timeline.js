"use strict";
// The timeline of agents and GPUs on a canvas: zoom, move, and what is under the pointer.
(() => {
  const canvas = document.getElementById("timeline");
  if (!canvas) return;
  canvas.parentElement.hidden = false;
  document.querySelector(".unscripted").hidden = true;
  const { span, phases, agents, rows, sessions } = JSON.parse(
    document.getElementById("timeline-data").textContent,
  );
  const tip = document.getElementById("timeline-tip");
  const range = document.getElementById("timeline-range");
  const LEAST_US = 1000, GAP = 3, AXIS = 24, RIGHT = 10;
  const rowHeight = rows.length > 24 ? 12 : rows.length > 10 ? 16 : 24;
  let from = 0, to = span, left = 0, width = 0, colours = {}, isDue = false;

  // agents first, then, a little below, the GPUs
  const topOf = (at) => GAP + at * (rowHeight + GAP) + (at >= agents ? 2 * GAP : 0);

  // each row: where its slices start and end, and their phases
  const tracks = rows.map(({ slices }) => {
    const count = slices.length / 3;
    const starts = new Float64Array(count), ends = new Float64Array(count);
    const kinds = new Uint8Array(count);
    for (let i = 0, now = 0; i < count; i += 1) {
      now += slices[3 * i];
      starts[i] = now;
      now += slices[3 * i + 1];
      ends[i] = now;
      kinds[i] = slices[3 * i + 2];
    }
    return { starts, ends, kinds };
  });
  const named = rows.map(() => []);
  for (const [row, start, end, name] of sessions) named[row].push({ start, end, name });

  const UNITS = [[3.6e9, "h"], [6e7, "min"], [1e6, "s"], [1e3, "ms"], [1, "\u00b5s"]];
  // round distances between two marks of the axis
  const STEPS = [
    ...[1, 10, 100, 1e3, 1e4, 1e5].flatMap((power) => [power, 2 * power, 5 * power]),
    ...[1, 2, 5, 10, 15, 30].map((s) => s * 1e6), ...[1, 2, 5, 10, 15, 30].map((min) => min * 6e7),
    ...[1, 2, 3, 6, 12, 24, 48].map((h) => h * 3.6e9),
  ];
  const unitFor = (us) => UNITS.find(([size]) => us >= 3 * size) || UNITS[4];
  const written = (us, digits = 4) => {
    const [size, name] = unitFor(Math.abs(us));
    return us ? `${Number((us / size).toPrecision(digits))} ${name}` : "0 s";
  };

  // the first slice that ends after a time
  const firstAfter = (ends, time) => {
    let low = 0, high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle] > time) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    const names = ["text", "quiet", "rule", "page", "edge", ...phases.map((phase) => phase[1])];
    colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  };
  const isLight = (colour) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return 0.299 * r + 0.587 * g + 0.114 * b > 140;
  };

  const resize = () => {
    const ratio = devicePixelRatio || 1;
    width = canvas.parentElement.clientWidth - 2;
    const height = topOf(rows.length) + AXIS;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "11px system-ui, sans-serif";
    left = Math.min(130, 14 + Math.max(...rows.map((row) => context.measureText(row.name).width)));
    draw();
  };

  const drawAxis = (context, x, height) => {
    const rough = (to - from) / Math.max(2, (width - left) / 110);
    const step = STEPS.find((each) => each >= rough) || 2.4e10 * Math.ceil(rough / 2.4e10);
    const [size, unit] = UNITS.find(([each]) => step >= each);
    context.textAlign = "center";
    for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
      context.fillStyle = colours.rule;
      context.fillRect(Math.round(x(time)), 0, 1, height - AXIS + 4);
      context.fillStyle = colours.quiet;
      context.fillText(`${Number((time / size).toPrecision(6))} ${unit}`, x(time), height - 10);
    }
  };

  const drawRow = (context, x, at, top) => {
    const { starts, ends, kinds } = tracks[at];
    const scale = (width - left - RIGHT) / (to - from);
    let last = -1, lastKind = -1; // a pixel is not drawn again in the same phase
    for (let i = firstAfter(ends, from); i < starts.length && starts[i] < to; i += 1) {
      const begin = Math.max(x(starts[i]), left), end = Math.min(x(ends[i]), width - RIGHT);
      const pixel = Math.floor(end);
      if (pixel === last && kinds[i] === lastKind) continue;
      [last, lastKind] = [pixel, kinds[i]];
      const [label, colour, share] = phases[kinds[i]];
      const high = rowHeight * share;
      const y = top + (rowHeight - high) / 2;
      context.fillStyle = colours[colour];
      context.fillRect(begin, y, Math.max(end - begin, 0.6), high);
      if ((ends[i] - starts[i]) * scale > 64 && high > 11) {
        context.fillStyle = isLight(colours[colour]) ? "#000000" : "#ffffff";
        context.textAlign = "left";
        context.fillText(label, begin + 5, y + high / 2 + 0.5, end - begin - 8);
      }
    }
  };

  const draw = () => {
    isDue = false;
    const context = canvas.getContext("2d");
    const height = topOf(rows.length) + AXIS;
    const x = (time) => left + ((time - from) / (to - from || 1)) * (width - left - RIGHT);
    context.fillStyle = colours.page;
    context.fillRect(0, 0, width, height);
    context.textBaseline = "middle";
    drawAxis(context, x, height);
    rows.forEach((row, at) => {
      const top = topOf(at);
      drawRow(context, x, at, top);
      context.fillStyle = colours.text;
      context.textAlign = "left";
      context.fillText(row.name, 6, top + rowHeight / 2, left - 12);
    });
    const digits = 3 + Math.max(0, Math.ceil(Math.log10(to / (to - from || 1))));
    range.textContent = `${written(from, digits)} to ${written(to, digits)}`;
  };
  const drawSoon = () => {
    if (!isDue) requestAnimationFrame(draw);
    isDue = true;
  };

  const show = (begin, end) => {
    const length = Math.min(Math.max(end - begin, Math.min(LEAST_US, span)), span);
    from = Math.min(Math.max(begin, 0), span - length);
    to = from + length;
    drawSoon();
  };
  const zoom = (factor, share = 0.5) => {
    const length = (to - from) * factor;
    show(from + (to - from - length) * share, from + (to - from - length) * share + length);
  };
  const move = (share) => show(from + (to - from) * share, to + (to - from) * share);
  const actions = {
    in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.25), right: () => move(0.25),
    all: () => show(0, span),
  };
  const keys = {
    "+": "in", "=": "in", "-": "out", _: "out", ArrowLeft: "left", ArrowRight: "right",
    Home: "all", 0: "all",
  };
  for (const button of document.querySelectorAll(".timeline button[data-do]"))
    button.addEventListener("click", actions[button.dataset.do]);
  canvas.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[action]();
  });

  const shareAt = (event) => (event.offsetX - left) / (width - left - RIGHT);
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, Math.min(Math.max(shareAt(event), 0), 1));
  }, { passive: false });
  let grabbed = null;
  canvas.addEventListener("pointerdown", (event) => {
    grabbed = { x: event.offsetX, from, to };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => (grabbed = null));
  canvas.addEventListener("pointercancel", () => (grabbed = null));
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  canvas.addEventListener("pointermove", (event) => {
    if (grabbed) {
      const by = ((grabbed.x - event.offsetX) / (width - left - RIGHT)) * (grabbed.to - grabbed.from);
      show(grabbed.from + by, grabbed.to + by);
    } else tellAt(event);
  });

  const tellAt = (event) => {
    const at = rows.findIndex((_, row) => event.offsetY >= topOf(row) && event.offsetY < topOf(row + 1));
    const time = from + shareAt(event) * (to - from);
    const track = tracks[at];
    if (!track || event.offsetX < left || time > to) {
      tip.hidden = true;
      return;
    }
    const i = firstAfter(track.ends, time);
    const isIn = i < track.starts.length && track.starts[i] <= time;
    const what = isIn
      ? `${phases[track.kinds[i]][0]}, ${written(track.ends[i] - track.starts[i])}` : "idle";
    const session = named[at].find(({ start, end }) => start <= time && time <= end);
    const lines = [rows[at].name, what, `at ${written(isIn ? track.starts[i] : time)}`];
    if (session) lines.push(`session ${session.name}`);
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    const box = canvas.getBoundingClientRect(), home = canvas.parentElement.getBoundingClientRect();
    const x = Math.min(event.offsetX + 14, box.width - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(x, 0)}px`;
    tip.style.top = `${box.top - home.top + event.offsetY + 14}px`;
  };

  const again = () => {
    readColours();
    resize();
  };
  document.addEventListener("theme", again);
  addEventListener("resize", again);
  matchMedia("print").addEventListener("change", again);
  again();
})();
