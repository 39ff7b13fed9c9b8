// Sliders and buttons around brainsprite (MIT), which draws the slices and answers to clicks on them.
"use strict";
window.addEventListener("load", () => {
  const data = JSON.parse(document.getElementById("slices-data").textContent);
  const area = document.getElementById("slices");
  area.classList.add("live"); // shown first: brainsprite measures the space that it has
  const brain = brainsprite(data.brain);
  readable();
  const sliders = ["X", "Y", "Z"].map((axis) => document.getElementById(`slices-${axis}`));
  const readout = document.getElementById("slices-place");

  // brainsprite reads single pixels from these two: browsers ask to be told of that before
  function readable() {
    const copy = (width, image) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, 1];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      if (image) context.drawImage(image, 0, 0);
      return { canvas, context };
    };
    const pixel = copy(1);
    [brain.canvasRead, brain.contextRead] = [pixel.canvas, pixel.context];
    if (brain.colorMap) Object.assign(brain.colorMap, copy(brain.colorMap.canvas.width, brain.colorMap.img));
  }

  const shown = (value) => (Object.is(Number(value.toFixed(1)), -0) ? "0.0" : value.toFixed(1));

  function place() {
    return ["X", "Y", "Z"].map((axis, index) => data.first[index] + brain.numSlice[axis] * data.step);
  }

  function tell() {
    const here = place();
    sliders.forEach((slider, index) => {
      slider.value = brain.numSlice["XYZ"[index]];
      slider.setAttribute("aria-valuetext", `${shown(here[index])} mm`);
    });
    const away = data.spots.map((spot) => {
      const apart = Math.hypot(...here.map((value, axis) => value - spot.at[axis]));
      return `${Math.round(apart)} mm from ${spot.letter}`;
    });
    const score = Number.isNaN(brain.voxelValue) ? "no score here" : `score ${brain.voxelValue.toFixed(2)}`;
    readout.textContent = [`x, y, z = ${here.map(shown).join(", ")} mm`, score, ...away].join("; ");
  }

  function go(numbers) {
    ["X", "Y", "Z"].forEach((axis, index) => {
      brain.numSlice[axis] = Math.min(Math.max(Math.round(numbers[index]), 0), brain.nbSlice[axis] - 1);
    });
    brain.init(); // reads the value under the cross
    brain.drawAll();
    tell();
  }

  brain.onclick = tell;
  sliders.forEach((slider) => slider.addEventListener("input", () => go(sliders.map((item) => Number(item.value)))));
  for (const button of document.querySelectorAll("[data-go]")) {
    const spot = data.spots.find((item) => item.letter === button.dataset.go);
    button.addEventListener("click", () => go(spot.at.map((value, axis) => (value - data.first[axis]) / data.step)));
  }
  go(data.start);
});
