// One scenario of the AI SDK with its OpenAI-compatible provider per run: `node ai_sdk.mjs SCENARIO`; one line of JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const given = JSON.parse(process.env.GIVEN);
let hits = 0;
const counted = (...call) => { hits += 1; return fetch(...call); };
const provider = (extra) => createOpenAICompatible({
  name: "millrace", baseURL: `${process.env.MILLRACE_URL}/v1`, apiKey: process.env.MILLRACE_KEY, includeUsage: true,
  supportsStructuredOutputs: true, fetch: counted, ...extra,
});
const scripted = () => provider({ transformRequestBody: (body) => ({ ...body, stand_in: given.script }) });
const asked = { model: provider()(given.small), prompt: given.question, temperature: 0, maxOutputTokens: 96, maxRetries: 0 };
const tools = {
  add: tool({ description: "add", inputSchema: jsonSchema(given.add), execute: async ({ a, b }) => ({ sum: a + b }) }),
  pick: tool({ description: "pick", inputSchema: jsonSchema(given.pick), execute: async ({ colour }) => colour }),
};

async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { name: error.name, status: error.statusCode ?? null, retryable: error.isRetryable ?? null };
  }
  return { name: null };
}

async function streamed(options) {
  const parts = [];
  const stream = streamText({ ...asked, ...options, onError: () => {} });
  for await (const part of stream.fullStream) parts.push(part.type);
  const last = await Promise.allSettled([stream.text, stream.finishReason, stream.usage, stream.toolCalls]);
  const [text, finishReason, usage, toolCalls] = last.map((each) => each.value ?? null);
  return { parts, text, finishReason, usage, toolCalls };
}

async function generated(options) {
  const { text, finishReason, toolCalls, toolResults, usage, steps } = await generateText({ ...asked, ...options });
  return { text, finishReason, toolCalls, toolResults, usage, steps: steps.length };
}

const scenarios = {
  chat: () => generated({}),
  stream: () => streamed({}),
  tools: () => generated({ tools, toolChoice: given.choice, providerOptions: given.options ?? {} }),
  tools_stream: () => streamed({ tools, toolChoice: { type: "tool", toolName: "add" } }),
  tools_loop: () => generated({ tools, toolChoice: "auto", stopWhen: stepCountIs(2) }),
  object: async () => (await generateObject({ ...asked, schema: jsonSchema(given.verdict) })).object,
  embeddings: async () => {
    const model = provider().embeddingModel(given.embed);
    const { embeddings, usage } = await embedMany({ model, values: ["7 + 5", "sort 3 1 2"] });
    return { lengths: embeddings.map((each) => each.length), usage };
  },
  errors: async () => ({
    missing: await failure(() => generateText({ ...asked, model: provider()("abacus-huge") })),
    wrong: await failure(() => generateText({ ...asked, model: provider({ apiKey: "mr-wrong" })(given.small) })),
    bad: await failure(() => generateText({ ...asked, temperature: 9 })),
  }),
  retried: () => failure(() => generateText({ ...asked, model: scripted()(given.hosted), maxRetries: 1 })),
  once: () => failure(() => generateText({ ...asked, temperature: 9, maxRetries: 2 })),
  ending: () => streamed({ model: scripted()(given.hosted) }),
};

const result = await scenarios[process.argv[2]]();
console.log(JSON.stringify({ result, hits }));
