"use strict";
// Starts a page that contains its content.

Headwise.unpack(document.getElementById("content").textContent).then((data) => {
  const { show } = Headwise.mount(document.getElementById("explorer"), data, { permalink: true });
  Headwise.themeButton(document.querySelector(".theme"), show);
});
