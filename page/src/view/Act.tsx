/** Something that changes the log: first what it would do, then, when confirmed, what it did. */

import { useEffect, useState } from "preact/hooks";
import { Trouble, troubleOf, type ActBody, type Done, type Preview, type Source } from "../data/source.ts";
import { Dialog } from "./Dialog.tsx";
import { GivenDiff } from "./text.tsx";

type State =
  | { at: "asking" }
  | { at: "preview"; preview: Preview; stale: boolean }
  | { at: "doing"; preview: Preview }
  | { at: "done"; done: Done }
  | { at: "trouble"; trouble: Trouble };

function PreviewView({ preview, stale }: { preview: Preview; stale: boolean }) {
  return (
    <>
      {stale && <p class="warn">Something has changed meanwhile. This is what it would do now:</p>}
      {!preview.possible && <p class="bad">{preview.why_not ?? "This is not possible now."}</p>}
      {preview.lines.map((line) => <p>{line}</p>)}
      {preview.changes.map((change) => <div class="card"><b class="key">{change.key}</b><GivenDiff text={change.diff} /></div>)}
      {preview.possible && !preview.changes.length && !preview.unsure && <p class="dim">No object changes.</p>}
    </>
  );
}

export function Act(props: { source: Source; story: number; body: ActBody; onClose(): void }) {
  const { source, story } = props;
  const [body, setBody] = useState(props.body);
  const [state, setState] = useState<State>({ at: "asking" });

  function ask(next: ActBody, stale: boolean): void {
    setBody(next);
    setState({ at: "asking" });
    source.preview(story, next).then(
      (preview) => setState({ at: "preview", preview, stale }),
      (error: unknown) => setState({ at: "trouble", trouble: troubleOf(error) }),
    );
  }
  useEffect(() => ask(props.body, false), []);

  function act(preview: Preview): void {
    setState({ at: "doing", preview });
    source.act(story, body, preview.ticket).then(
      (done) => setState({ at: "done", done }),
      (error: unknown) => {
        const trouble = troubleOf(error);
        if (trouble.status === 409) ask(body, true);
        else setState({ at: "trouble", trouble });
      },
    );
  }

  const title = state.at === "preview" || state.at === "doing" ? state.preview.title : state.at === "done" ? "Done" : state.at === "trouble" ? "That did not work" : "What would it do?";
  return (
    <Dialog title={title} onClose={props.onClose}>
      <div class="dialog-body" aria-live="polite" tabIndex={0}>
        {state.at === "asking" && <p class="dim">Asking the log …</p>}
        {(state.at === "preview" || state.at === "doing") && <PreviewView preview={state.preview} stale={state.at === "preview" && state.stale} />}
        {state.at === "done" && state.done.lines.map((line) => <p>{line}</p>)}
        {state.at === "trouble" && <><p class="bad">{state.trouble.reason}</p><p>{state.trouble.cure}</p></>}
      </div>
      <footer class="buttons">
        {state.at === "preview" && state.preview.possible && <button class="primary" onClick={() => act(state.preview)} autofocus>Do it</button>}
        {state.at === "doing" && <button class="primary" disabled>Doing it …</button>}
        {state.at === "done" && state.done.back && <button onClick={() => ask((state.done as Done).back!, false)}>Take it back …</button>}
        {state.at === "trouble" && <button onClick={() => ask(body, false)}>Try again</button>}
        <button onClick={props.onClose}>{state.at === "done" ? "Close" : "Cancel"}</button>
      </footer>
    </Dialog>
  );
}
