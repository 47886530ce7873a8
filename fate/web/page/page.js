// What textual.js leaves to the page: where the game is, and that keys go to it without a click.
"use strict";

const websocket = new URL("ws", location.href);
websocket.protocol = location.protocol === "https:" ? "wss:" : "ws:";
document.querySelector("#terminal").dataset.sessionWebsocketUrl = websocket.href;

const again = document.querySelector("#closed button");
again.addEventListener("click", () => location.reload());

// textual.js sets these classes of the body when the first bytes come, and when the connection ends.
new MutationObserver((_, observer) => {
  const state = document.body.classList;
  if (state.contains("-closed")) {
    observer.disconnect();
    again.focus();
  } else if (state.contains("-first-byte") && document.activeElement === document.body) {
    document.querySelector(".xterm-helper-textarea").focus();
  }
}).observe(document.body, { attributeFilter: ["class"] });
