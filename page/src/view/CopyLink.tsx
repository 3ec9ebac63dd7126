/** A link to what is shown: without the token, which is a key, unless that is asked for. */

import { useEffect, useState } from "preact/hooks";
import { formatPlace, type Place } from "../model/link.ts";
import { Dialog } from "./Dialog.tsx";

export function CopyLink({ place, token, onClose }: { place: Place; token: string | null; onClose(): void }) {
  const here = location.href.replace(/#.*$/, "") + formatPlace(place);
  const withToken = token === null ? null : `${here}${here.includes("#") ? "&" : "#"}token=${token}`;
  const [said, setSaid] = useState("");
  function copy(text: string, words: string): void {
    const failed = (): void => setSaid("This browser would not copy it: copy it from here.");
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => setSaid(words), failed);
    else failed();
  }
  useEffect(() => copy(here, "The link to what is shown is copied."), []);
  return (
    <Dialog title="Link" onClose={onClose}>
      <div class="dialog-body" tabIndex={0}>
        <p role="status">{said || "…"}</p>
        <pre class="value">{here}</pre>
        {withToken === null ? <p class="dim">It opens this file, where it stands now.</p> : (
          <p class="dim">It opens what is shown in a tab of this page, or asks for the token in a new one. With the token in it, it opens in any browser of this computer: for yourself alone, since whoever has it may look and act as you can.</p>
        )}
      </div>
      <footer class="buttons">
        {withToken !== null && <button onClick={() => copy(withToken, "The link is copied with the token.")}>Copy it with the token</button>}
        <button class="primary" onClick={onClose} autofocus>Done</button>
      </footer>
    </Dialog>
  );
}
