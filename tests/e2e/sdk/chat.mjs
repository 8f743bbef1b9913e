// Chats through an unmodified openai package, streamed and whole; prints what it got as one JSON object.

import { createRequire } from "node:module";

const [baseURL, packages] = process.argv.slice(2);
const { OpenAI } = createRequire(packages)("openai");
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const asked = { model: "replay", messages: [{ role: "user", content: "hi" }], max_tokens: 5 };

const whole = await client.chat.completions.create(asked);
const chunks = [];
for await (const chunk of await client.chat.completions.create({
  ...asked,
  stream: true,
  stream_options: { include_usage: true },
})) {
  chunks.push(chunk);
}

const errors = {};
for (const model of ["nope", "broken"]) {
  try {
    for await (const _ of await client.chat.completions.create({ ...asked, model, stream: true }));
  } catch (error) {
    errors[model] = [error.constructor.name, error.code];
  }
}

console.log(
  JSON.stringify({
    whole: whole.choices[0].message.content,
    usage: whole.usage.total_tokens,
    streamed: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    streamed_usage: chunks.at(-1).usage.total_tokens,
    models: (await client.models.list()).data.map((model) => model.id),
    errors,
  }),
);
