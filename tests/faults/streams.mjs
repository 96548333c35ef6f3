// Reads many streams with openai-node; the last line is how many ended how. GIVEN: what to ask, MODULES: where it is.
import { createRequire } from "node:module";

const OpenAI = createRequire(process.env.MODULES)("openai").default;
const given = JSON.parse(process.env.GIVEN);
const client = new OpenAI({ baseURL: given.baseURL, apiKey: given.apiKey, maxRetries: 0, timeout: 60_000 });
const endings = {};
let left = given.count;

async function read() {
  let reason = null;
  try {
    for await (const chunk of await client.chat.completions.create(given.body)) reason ??= chunk.choices[0]?.finish_reason;
  } catch (error) {
    if (error instanceof OpenAI.APIError && error.status) return "refused";
    if (error instanceof OpenAI.APIError && error.code) return "failed";
    return "abrupt";
  }
  return reason ? "complete" : "lie";
}

async function oneAfterAnother() {
  while (left-- > 0) {
    const ending = await read();
    endings[ending] = (endings[ending] ?? 0) + 1;
  }
}

await Promise.all(Array.from({ length: given.atOnce }, oneAfterAnother));
console.log(JSON.stringify(endings));
