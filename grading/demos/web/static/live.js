// The communication between a page and the program that serves it: questions with answers, and a feed of states.

const GONE = "The program behind this page has ended. Start it again in your terminal.";

/** The error thrown if the program has ended or refused a question. The message is for the reader. */
export class NoAnswer extends Error {}

/** Send a question in JSON to the call `name`, and return the parsed answer. */
export async function ask(name, question) {
  let response;
  try {
    response = await fetch(name, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question),
    });
  } catch {
    throw new NoAnswer(GONE);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new NoAnswer(answer.error ?? `The program responded with status ${response.status}.`);
  return answer;
}

/** Call `listener` with every state of the feed, until it returns true because no more states are expected.
 *
 * A broken feed is reopened once. If that fails, `lost` is called with a sentence for the reader.
 */
export function follow(listener, lost) {
  const feed = new EventSource("events");
  let broken = 0;
  feed.addEventListener("message", (event) => {
    broken = 0;
    if (listener(JSON.parse(event.data))) feed.close();
  });
  feed.addEventListener("error", () => {
    broken += 1;
    if (broken < 2 && feed.readyState !== EventSource.CLOSED) return;
    feed.close();
    lost(GONE);
  });
}

const NAMES = { call: "call", got: "got", expected: "expected", hint: "hint", detail: "lines" };

/** Show a failure of student code, as plain text only. */
export function showFailure(box, failure) {
  const title = document.createElement("h2");
  title.textContent = "Your code stopped the demonstration";
  const list = document.createElement("dl");
  const place = failure.file ? `${failure.file}${failure.line ? `:${failure.line}` : ""}` : null;
  const rows = [["where", place], ...Object.keys(NAMES).map((name) => [NAMES[name], failure[name]])];
  for (const [name, text] of rows) {
    if (!text) continue;
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = text;
    list.append(term, description);
  }
  const advice = document.createElement("p");
  advice.textContent = "Fix it, stop the program with Ctrl+C in the terminal, and start it again.";
  box.replaceChildren(title, advice, list);
  box.hidden = false;
}
