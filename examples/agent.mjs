/**
 * An agent that fills a stream of its own. Stop it and start it again: it goes on where it was.
 *
 *     node agent.mjs http://127.0.0.1:8000 report-17
 *
 * It has as long as its lease to come back, 5 s by default; then the stream ends as failed, truthfully. Anyone may
 * follow meanwhile: `tidegate tail gen_...`, or an `EventSource` on /v1/streams/gen_.../events.
 */

// With npm: import { produce } from 'tidegate';
import { produce } from '../clients/js/tidegate.js';

const STEPS = Array.from({ length: 20 }, (_, n) => `Step ${n + 1} is done. `);

const [base, key] = process.argv.slice(2);
if (!key) {
  console.error('node agent.mjs SERVER KEY');
  process.exit(2);
}

// The same key leads to the same stream. A twin that still runs is fenced, and told so by its signal.
const stream = await produce({ base, key });
console.log(`${stream.id}: ${stream.text.length} characters so far`);

if (!stream.ended) {
  for (const text of STEPS.slice(stream.offset - 1)) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    stream.signal.throwIfAborted();
    await stream.delta(text);
  }
  await stream.complete();
}
