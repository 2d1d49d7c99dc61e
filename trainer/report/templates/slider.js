"use strict";
const slider = document.getElementById("epoch");
if (slider) {
  const epochs = JSON.parse(slider.dataset.epochs);
  const show = () => {
    const epoch = epochs[Number(slider.value)];
    document.getElementById("epoch-shown").textContent = "epoch " + epoch;
    slider.setAttribute("aria-valuetext", "epoch " + epoch);
    for (const run of document.querySelectorAll(".grids")) {
      const images = [...run.querySelectorAll("img[data-epoch]")];
      // A run without a grid of this epoch shows its newest before it.
      const reached = images.filter((image) => Number(image.dataset.epoch) <= epoch);
      const shown = reached.pop() || images[0];
      for (const image of images) image.hidden = image !== shown;
      run.querySelector(".shown").textContent = "epoch " + shown.dataset.epoch;
    }
  };
  slider.addEventListener("input", show);
  show();
}
