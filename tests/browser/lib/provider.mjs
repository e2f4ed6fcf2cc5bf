// A strict stand-in for an OpenAI-compatible endpoint, written for the tests: it refuses whatever the schema of
// chat completions does not allow, decodes every image it is sent, and can misbehave in all the ways real ones do.
import { createServer } from 'node:http';
import { decode } from './files.mjs';

export const KEY = 'sk-test-4711';

/** Starts it. `mode` may be changed while it runs; `requests` collects what was accepted. */
export async function provider() {
  const state = { mode: 'ok', requests: [], complaints: [], answer: ['The total ', 'is 9', '.00 ', '€.'] };
  const server = createServer((request, response) => serve(state, request, response));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(state, {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    close: () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  });
}

async function serve(state, request, response) {
  const cors = state.mode === 'cors' ? {} : {
    'Access-Control-Allow-Origin': request.headers.origin ?? '*',
    'Access-Control-Allow-Headers': 'authorization, content-type',
    'Access-Control-Allow-Methods': 'POST',
    'Access-Control-Expose-Headers': 'retry-after',
  };
  for (const [name, value] of Object.entries(cors)) response.setHeader(name, value);
  if (request.method === 'OPTIONS') return response.writeHead(204).end();
  let body = '';
  for await (const part of request) body += part;
  const refuse = (status, message, headers = {}) =>
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
      .end(JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } }));
  if (state.mode === '429') return refuse(429, 'Rate limit reached.', { 'Retry-After': '7' });
  if (state.mode === '429 until') return refuse(429, 'Rate limit reached.', { 'Retry-After': 'Fri, 20 Nov 2026 08:00:00 GMT' });
  if (state.mode === '500') return refuse(500, 'Something broke.');
  if (request.headers.authorization !== `Bearer ${KEY}`) {
    return refuse(401, `Incorrect API key provided: ${(request.headers.authorization ?? '').slice(7)}.`);
  }
  let accepted;
  try {
    accepted = check(request, body);
  } catch (error) {
    state.complaints.push(error.message);
    return refuse(400, error.message);
  }
  state.requests.push(accepted);
  stream(state, response);
}

async function stream(state, response) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' });
  const send = (delta, finish = null) => response.write(`data: ${JSON.stringify({
    id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'strict',
    choices: [{ index: 0, delta, finish_reason: finish }],
  })}\n\n`);
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  send({ role: 'assistant', content: '' });
  for (const [at, content] of state.answer.entries()) {
    if (state.mode === 'broken' && at === 2) return response.destroy();
    send({ content });
    await pause(state.mode === 'slow' ? 400 : 30);
  }
  send({}, 'stop');
  response.end('data: [DONE]\n\n');
}

/** Throws with the reason unless the request is exactly what the schema allows and this page should send. */
function check(request, body) {
  const must = (condition, message) => {
    if (!condition) throw new Error(message);
  };
  must(request.method === 'POST', `method ${request.method}`);
  must(request.url === '/v1/chat/completions', `path ${request.url}`);
  must(/^application\/json(;|$)/.test(request.headers['content-type'] ?? ''), 'content-type is not JSON');
  must(!request.headers.cookie && !request.headers.referer, 'cookies or referrer were sent');
  const json = JSON.parse(body);
  only(json, ['model', 'messages', 'stream', 'stream_options', 'temperature', 'max_tokens', 'max_completion_tokens']);
  must(typeof json.model === 'string' && json.model.length > 0, 'model is not a name');
  must(json.stream === true, 'stream is not true');
  if (json.stream_options !== undefined) only(json.stream_options, ['include_usage']);
  must(Array.isArray(json.messages) && json.messages.length > 0, 'messages is empty');
  const images = [];
  const texts = [];
  for (const message of json.messages) {
    only(message, ['role', 'content', 'name']);
    must(['system', 'developer', 'user', 'assistant'].includes(message.role), `role ${message.role}`);
    const parts = typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : message.content;
    must(Array.isArray(parts) && parts.length > 0, 'content is empty');
    for (const part of parts) {
      if (part.type === 'text') {
        only(part, ['type', 'text']);
        must(typeof part.text === 'string' && part.text.length > 0, 'text is empty');
        texts.push(part.text);
      } else {
        must(part.type === 'image_url', `part of type ${part.type}`);
        must(message.role === 'user', 'images outside of a user message');
        only(part, ['type', 'image_url']);
        only(part.image_url, ['url', 'detail']);
        images.push(image(part.image_url.url, must));
      }
    }
  }
  return { model: json.model, images, texts };
}

function image(url, must) {
  const [, type, base64] = /^data:(image\/(?:png|jpeg));base64,([A-Za-z0-9+/]+={0,2})$/.exec(url ?? '') ?? [];
  must(base64 !== undefined && base64.length % 4 === 0, 'image_url is no data URL in base64');
  const bytes = Buffer.from(base64, 'base64');
  must((type === 'image/png') === (bytes[0] === 0x89), `the image is not ${type}`);
  return { type, bytes, ...decode(bytes) };
}

function only(object, names) {
  if (typeof object !== 'object' || object === null) throw new Error('not an object');
  for (const name of Object.keys(object)) if (!names.includes(name)) throw new Error(`unrecognized argument: ${name}`);
}
