// Draws the head that report/head.py describes, and turns it. No library, no WebGL: it must also work on an old ward computer.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("head-data").textContent);
  const canvas = document.getElementById("head-canvas");
  const turn = document.getElementById("head-turn");
  const tilt = document.getElementById("head-tilt");
  const context = canvas.getContext("2d");
  if (!context) return;

  const numbers = (text, Kind) => new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const vertices = Float32Array.from(numbers(data.vertices, Int16Array), (step) => step * data.step);
  const faces = numbers(data.faces, Uint16Array);
  const normals = vertexNormals();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const light = unit(data.light);

  function unit(vector) {
    const length = Math.hypot(...vector);
    return vector.map((value) => value / length);
  }

  function cross(a, b) {
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  }

  function corner(index) {
    return [vertices[3 * index], vertices[3 * index + 1], vertices[3 * index + 2]];
  }

  function vertexNormals() {
    const sums = new Float32Array(vertices.length);
    for (let face = 0; face < faces.length; face += 3) {
      const [a, b, c] = [0, 1, 2].map((step) => corner(faces[face + step]));
      const normal = cross(b.map((value, axis) => value - a[axis]), c.map((value, axis) => value - a[axis]));
      for (let step = 0; step < 3; step++) for (let axis = 0; axis < 3; axis++) sums[3 * faces[face + step] + axis] += normal[axis];
    }
    for (let start = 0; start < sums.length; start += 3) sums.set(unit([...sums.subarray(start, start + 3)]), start);
    return sums;
  }

  // Rows: across (rightwards on the screen), up, towards the viewer; the same as View.axes_ras in report/head.py.
  function axes() {
    const azimuth = (Number(turn.value) * Math.PI) / 180;
    const elevation = (Number(tilt.value) * Math.PI) / 180;
    const across = [-Math.cos(azimuth), Math.sin(azimuth), 0];
    const towards = [Math.cos(elevation) * Math.sin(azimuth), Math.cos(elevation) * Math.cos(azimuth), Math.sin(elevation)];
    return [across, cross(towards, across), towards];
  }

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  function project(place, rows, scale) {
    const moved = place.map((value, axis) => value - data.middle[axis]);
    return [canvas.width / 2 + scale * dot(rows[0], moved), canvas.height / 2 - scale * dot(rows[1], moved)];
  }

  function drawScalp(rows, scale) {
    const count = vertices.length / 3;
    const [x, y, depth, shade] = [0, 1, 2, 3].map(() => new Float32Array(count));
    for (let index = 0; index < count; index++) {
      const place = corner(index);
      const normal = [normals[3 * index], normals[3 * index + 1], normals[3 * index + 2]];
      x[index] = canvas.width / 2 + scale * dot(rows[0], place);
      y[index] = canvas.height / 2 - scale * dot(rows[1], place);
      depth[index] = dot(rows[2], place);
      shade[index] = dot(light, rows.map((row) => dot(row, normal)));
    }
    const seen = [];
    for (let face = 0; face < faces.length; face += 3) {
      const [a, b, c] = [faces[face], faces[face + 1], faces[face + 2]];
      if ((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]) < 0) seen.push(face);
    }
    const far = (face) => depth[faces[face]] + depth[faces[face + 1]] + depth[faces[face + 2]];
    seen.sort((one, other) => far(one) - far(other));
    context.lineWidth = 1;
    for (const face of seen) {
      const [a, b, c] = [faces[face], faces[face + 1], faces[face + 2]];
      const bright = Math.min(Math.max((shade[a] + shade[b] + shade[c]) / 3, 0), 1);
      const grey = Math.round(data.grey * (0.34 + 0.66 * bright));
      context.fillStyle = context.strokeStyle = `rgb(${grey},${grey},${grey})`;
      context.beginPath();
      context.moveTo(x[a], y[a]);
      context.lineTo(x[b], y[b]);
      context.lineTo(x[c], y[c]);
      context.closePath();
      context.fill();
      context.stroke(); // hides the seams between neighbours
    }
  }

  function drawCloud(rows, scale, size) {
    context.fillStyle = data.cloudColour;
    context.globalAlpha = 0.55;
    for (const item of data.cloud) {
      if (dot(rows[2], item.normal_ras) <= 0.05) continue;
      const [x, y] = project(item.at_ras_mm, rows, scale);
      context.beginPath();
      context.arc(x, y, size * Math.sqrt(0.1 + item.share), 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  function drawCoil(rows, scale, size) {
    if (!data.coil || dot(rows[2], data.coil.normal_ras) <= 0.05) return;
    const [start, end] = [data.coil.from_ras_mm, data.coil.to_ras_mm].map((place) => project(place, rows, scale));
    context.strokeStyle = context.fillStyle = "#202020";
    context.lineWidth = size / 3;
    context.beginPath();
    context.moveTo(...start);
    context.lineTo(...end);
    context.stroke();
    context.font = `${1.5 * size}px sans-serif`;
    context.textAlign = "center";
    context.fillText("handle", end[0], end[1] + 1.6 * size);
  }

  function outline(shape, x, y, size) {
    context.beginPath();
    if (shape === "circle") context.arc(x, y, size, 0, 2 * Math.PI);
    else for (const [dx, dy] of [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]]) context.lineTo(x + dx * size, y + dy * size);
    context.closePath();
  }

  function drawSpots(rows, scale, size) {
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `bold ${2.2 * size}px sans-serif`;
    for (const spot of data.spots) {
      const [x, y] = project(spot.at_ras_mm, rows, scale);
      const seen = dot(rows[2], spot.normal_ras) > 0.05;
      canvas.dataset[spot.letter] = [x / canvas.width, y / canvas.height, seen ? 1 : 0].map((value) => value.toFixed(4)).join(" ");
      if (!seen) continue;
      for (const [width, colour] of [[0.9, "#ffffff"], [0.5, spot.colour]]) {
        context.lineWidth = width * size;
        context.strokeStyle = colour;
        outline(spot.shape, x, y, size);
        context.stroke();
      }
      const below = spot.letter === "B" ? 2.5 * size : -2.3 * size;
      context.lineWidth = 0.7 * size;
      context.strokeStyle = "#ffffff";
      context.strokeText(spot.letter, x, y + below);
      context.fillStyle = spot.colour;
      context.fillText(spot.letter, x, y + below);
    }
  }

  function drawSides(rows, size) {
    const across = rows[0];
    const sideways = Math.abs(across[0]) >= Math.abs(across[1]);
    const words = sideways ? ["left", "right"] : ["back", "front"];
    if ((sideways ? across[0] : across[1]) < 0) words.reverse();
    context.fillStyle = dark.matches ? "#c8ced6" : "#333333";
    context.font = `${1.8 * size}px sans-serif`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(words[0], size * 0.6, canvas.height / 2);
    context.textAlign = "right";
    context.fillText(words[1], canvas.width - size * 0.6, canvas.height / 2);
    canvas.dataset.sides = words.join(" ");
  }

  function draw() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const side = Math.max(Math.round(canvas.clientWidth * ratio), 100);
    canvas.width = canvas.height = side;
    const rows = axes();
    const scale = (0.46 * side) / data.radius;
    const size = Math.max(side / 62, 5 * ratio);
    drawScalp(rows, scale);
    drawCloud(rows, scale, 1.1 * size);
    drawCoil(rows, scale, size);
    drawSpots(rows, scale, size);
    drawSides(rows, size);
  }

  let waiting = false;
  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }

  function show(azimuth, elevation) {
    turn.value = ((((azimuth + 180) % 360) + 360) % 360) - 180;
    tilt.value = Math.min(Math.max(elevation, -90), 90);
    later();
  }

  function follow() {
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
      last = [event.clientX, event.clientY];
      show(Number(turn.value) + dx * 0.5, Number(tilt.value) + dy * 0.5);
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (last = null));
  }

  for (const slider of [turn, tilt]) slider.addEventListener("input", later);
  for (const button of document.querySelectorAll("[data-view]")) {
    const [azimuth, elevation] = button.dataset.view.split(" ").map(Number);
    button.addEventListener("click", () => show(azimuth, elevation));
  }
  window.addEventListener("resize", later);
  dark.addEventListener("change", later);
  document.getElementById("head").classList.add("live");
  follow();
  show(...data.view);
  draw();
})();
