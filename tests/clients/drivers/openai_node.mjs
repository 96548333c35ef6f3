// One scenario of openai-node per run: `node openai_node.mjs SCENARIO`; what came of it is one line of JSON.
import OpenAI from "openai";

const given = JSON.parse(process.env.GIVEN);
let hits = 0;
const counted = (...call) => { hits += 1; return fetch(...call); };
const client = new OpenAI({ baseURL: `${process.env.MILLRACE_URL}/v1`, apiKey: process.env.MILLRACE_KEY, fetch: counted });
const asked = { model: given.small, messages: given.messages, temperature: 0, max_tokens: 96 };

async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { name: error.constructor.name, status: error.status ?? null, code: error.code ?? null, param: error.param ?? null,
             request: error.requestID ?? null, retry: error.headers?.get?.("x-should-retry") ?? null, message: error.message };
  }
  return { name: null };
}

async function drained(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const scenarios = {
  chat: () => client.chat.completions.create(asked),
  chat_stream: async () =>
    drained(await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })),
  tools: async () => client.chat.completions.create({ ...asked, tools: given.chat_tools, ...given.choice }),
  tools_stream: async () => {
    const stream = client.chat.completions.stream({ ...asked, tools: given.chat_tools, tool_choice: given.named });
    return (await stream.finalChatCompletion()).choices[0].message;
  },
  json_schema: async () => {
    const schema = { type: "json_schema", json_schema: { name: "verdict", strict: true, schema: given.verdict } };
    return (await client.chat.completions.parse({ ...asked, response_format: schema })).choices[0].message.parsed;
  },
  logprobs: async () => {
    const warm = { ...asked, temperature: 1.5, logprobs: true, top_logprobs: 2, n: 2, seed: 1 };
    return [await client.chat.completions.create(warm), await client.chat.completions.create(warm)];
  },
  completions: () =>
    client.completions.create({ model: given.small, prompt: "7 + 5 =", echo: true, logprobs: 1, max_tokens: 2 }),
  embeddings: async () => {
    const input = ["7 + 5", "sort 3 1 2"];
    const byDefault = await client.embeddings.create({ model: given.embed, input });
    const floats = await client.embeddings.create({ model: given.embed, input, encoding_format: "float" });
    const tokens = await client.embeddings.create({ model: given.embed, input: [[1, 283, 274], [1, 227]] });
    return { byDefault: byDefault.data, floats: floats.data, tokens: tokens.usage.prompt_tokens };
  },
  response: () => client.responses.create({ model: given.small, input: given.question, temperature: 0 }),
  response_tool: () =>
    client.responses.create({ model: given.small, input: given.question, temperature: 0, max_output_tokens: 96,
                              tools: given.response_tools, tool_choice: { type: "function", name: "add" } }),
  response_stream: async () => {
    const stream = client.responses.stream({ model: given.small, input: given.question, temperature: 0 });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    return { kinds, text: (await stream.finalResponse()).output_text };
  },
  response_state: async () => {
    const first = await client.responses.create({ model: given.small, input: given.question, store: true });
    const next = await client.responses.create({ model: given.small, input: "And?", previous_response_id: first.id });
    const items = await drained(client.responses.inputItems.list(next.id));
    const again = await client.responses.retrieve(first.id);
    await client.responses.delete(first.id);
    const gone = await failure(() => client.responses.retrieve(first.id));
    return { first, next, items, again, gone };
  },
  models: async () => ({ listed: (await drained(client.models.list())).map((model) => model.id),
                         one: (await client.models.retrieve(given.small)).id,
                         missing: await failure(() => client.models.retrieve("abacus-huge")) }),
  errors: async () => ({
    missing: await failure(() => client.chat.completions.create({ ...asked, model: "abacus-huge" })),
    bad: await failure(() => client.chat.completions.create({ ...asked, temperature: 9 })),
    wrong: await failure(() => client.withOptions({ apiKey: "mr-wrong" }).models.list()),
  }),
  retried: () =>
    failure(() => client.withOptions({ maxRetries: 1 }).chat.completions.create(
      { model: given.hosted, messages: given.messages, stand_in: { status: 503, retry_after: "1" } })),
  once: () => failure(() => client.chat.completions.create({ ...asked, n: 0 })),
  ending: () =>
    failure(async () => drained(await client.chat.completions.create(
      { model: given.hosted, messages: given.messages, stream: true, stand_in: given.script }))),
};

const result = await scenarios[process.argv[2]]();
console.log(JSON.stringify({ result, hits }));
