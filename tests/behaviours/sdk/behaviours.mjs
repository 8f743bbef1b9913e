// Asks each model it is given through an unmodified openai package; writes what it got as one JSON object.
import { createRequire } from "node:module";

const [baseURL, question, models, packages] = process.argv.slice(2);
const { OpenAI } = createRequire(packages)("openai");
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });

const told = (message) => ({
  text: message.content ?? "",
  refusal: message.refusal ?? "",
  calls: (message.tool_calls ?? []).map((call) => [call.id, call.function.name, call.function.arguments]),
});

async function ask(model) {
  const asked = { model, messages: [{ role: "user", content: model + question }] };
  const got = {};
  try {
    const whole = await client.chat.completions.create(asked);
    got.whole = { ...told(whole.choices[0].message), finish: whole.choices[0].finish_reason };
    got.usage = [whole.usage.prompt_tokens, whole.usage.completion_tokens];
  } catch (error) {
    got.whole = [error.status ?? String(error), error.code];
  }
  try {
    const helped = await client.chat.completions.stream(asked).finalChatCompletion();
    got.streamed = { ...told(helped.choices[0].message), finish: helped.choices[0].finish_reason };
  } catch (error) {
    got.streamed = [error.code ?? String(error)];
  }
  return got;
}

const found = {};
for (const model of JSON.parse(models)) found[model] = await ask(model);
process.stdout.write(JSON.stringify(found));
