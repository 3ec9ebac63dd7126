import { render } from "preact";
import { embedded } from "./data/embedded.ts";
import { server } from "./data/server.ts";
import { Session } from "./data/session.ts";
import { Trouble, troubleOf, type Source } from "./data/source.ts";
import "./style.css";
import { App } from "./view/App.tsx";

const TOKEN = "coagent-token";

/** Take the token out of the address, where it would be copied and kept. */
function takeToken(): string | null {
  const given = new URLSearchParams(location.hash.replace(/^#/, ""));
  const token = given.get("token");
  if (token !== null) {
    given.delete("token");
    history.replaceState(null, "", location.pathname + location.search + (given.size ? `#${given}` : ""));
    sessionStorage.setItem(TOKEN, token);
  }
  return token ?? sessionStorage.getItem(TOKEN);
}

const NO_TOKEN = "The token stands at the end of the address that `coagent ui` printed in the terminal where it runs, after #token=. A link that was copied from the page holds none. Paste that address: it opens here what the link names. If the terminal is gone, start `coagent ui` again.";

function source(): Source {
  const text = document.getElementById("coagent-story")?.textContent?.trim();
  if (text) return embedded(text);
  const token = takeToken();
  if (token === null) throw new Trouble("This address has no token.", NO_TOKEN, 401);
  return server(token);
}

// Pasting the printed address where this page is already open changes no more than the fragment.
addEventListener("hashchange", () => {
  if (/[#&]token=/.test(location.hash)) location.reload();
});

const root = document.getElementById("app")!;
try {
  const session = new Session(source());
  render(<App session={session} />, root);
  void session.start();
} catch (error) {
  const session = new Session(embedded('{"stories":[]}'));
  session.trouble = troubleOf(error);
  render(<App session={session} />, root);
}
