// Strict stand-ins for providers, written for the tests: OpenAI's chat completions and responses, Anthropic's messages
// and Google's streamGenerateContent. Each refuses whatever its schema does not allow and whatever header its CORS
// does not name, decodes every image, and answers with the events of its own API. (`provider.mjs` has the mishaps.)
import { createServer } from 'node:http';
import { decode } from './files.mjs';

export const KEY = 'sk-test-4711';

/** Starts one. `answer(images)` says what is answered; `requests` collects what was accepted, `seen` everything. */
export async function standIn(api, answer = () => 'The total is 9.00 €.') {
  const state = { api, answer, requests: [], seen: [], complaints: [], redirect: null, closed: false, pause: 20 };
  const server = createServer((request, response) => serve(state, request, response));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return Object.assign(state, {
    origin,
    url: origin + (api === 'gemini' ? '/v1beta' : '/v1'),
    close: () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  });
}

const HEADERS = {
  chat: 'authorization, content-type',
  responses: 'authorization, content-type',
  anthropic: 'x-api-key, content-type, anthropic-version, anthropic-dangerous-direct-browser-access',
  gemini: 'x-goog-api-key, content-type',
};

async function serve(state, request, response) {
  state.seen.push({ method: request.method, url: request.url, headers: request.headers });
  if (state.closed) return response.writeHead(204).end(); // answers, but allows no web page
  response.setHeader('Access-Control-Allow-Origin', request.headers.origin ?? '*');
  response.setHeader('Access-Control-Allow-Headers', HEADERS[state.api]);
  response.setHeader('Access-Control-Allow-Methods', 'GET, POST');
  if (request.method === 'OPTIONS') return response.writeHead(204).end();
  if (state.redirect) return response.writeHead(307, { Location: state.redirect }).end();
  let body = '';
  for await (const part of request) body += part;
  const json = (status, value) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
  if (key(state.api, request) !== KEY) return json(...refusedKey(state.api));
  if (request.method === 'GET') return json(200, models(state.api));
  try {
    const accepted = { body: JSON.parse(body), ...APIS[state.api](request, JSON.parse(body)) };
    if (request.headers.cookie || request.headers.referer) throw new Error('cookies or referrer were sent');
    state.requests.push(accepted);
    const said = state.answer(accepted.images);
    if (typeof said === 'number') return json(said, { error: { message: 'At most 1 image(s) may be provided.', type: 'BadRequestError', code: said } });
    await stream(state, response, said, 100 + 700 * accepted.images.length);
  } catch (error) {
    state.complaints.push(error.message);
    json(400, { error: { message: error.message, type: 'invalid_request_error' } });
  }
}

const key = (api, { headers }) =>
  ({ anthropic: headers['x-api-key'], gemini: headers['x-goog-api-key'] })[api] ?? (headers.authorization ?? '').replace(/^Bearer /, '');

function refusedKey(api) {
  if (api === 'anthropic') return [401, { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } }];
  if (api === 'gemini') {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID', domain: 'googleapis.com' }];
    return [400, { error: { code: 400, message: 'API key not valid. Please pass a valid API key.', status: 'INVALID_ARGUMENT', details } }];
  }
  return [401, { error: { message: 'Incorrect API key provided.', type: 'invalid_request_error', code: 'invalid_api_key' } }];
}

function models(api) {
  if (api === 'gemini') return { models: [{ name: 'models/strict', supportedGenerationMethods: ['generateContent'] }, { name: 'models/embed', supportedGenerationMethods: ['embedContent'] }] };
  return { object: 'list', data: [{ id: 'strict', object: 'model' }, { id: 'other', object: 'model' }] };
}

const must = (condition, message) => {
  if (!condition) throw new Error(message);
};
const only = (object, names) => {
  for (const name of Object.keys(object)) must(names.includes(name), `unrecognized: ${name}`);
};
const image = (type, base64) => {
  must(/^image\/(png|jpeg)$/.test(type) && /^[A-Za-z0-9+/]+={0,2}$/.test(base64), 'no image in base64');
  const bytes = Buffer.from(base64, 'base64');
  must((type === 'image/png') === (bytes[0] === 0x89), `the image is not ${type}`);
  return { type, bytes, ...decode(bytes) };
};
const dataUrl = (url) => image(...(/^data:(image\/\w+);base64,(.+)$/.exec(url ?? '')?.slice(1) ?? ['', '']));

/** Each throws with the reason unless the request is what its schema allows, and gives images and words. */
const APIS = {
  chat(request, json) {
    must(request.url === '/v1/chat/completions', `path ${request.url}`);
    only(json, ['model', 'messages', 'stream', 'stream_options']);
    must(json.model === 'strict' && json.stream === true, 'model or stream');
    const [{ role, content }] = json.messages;
    must(role === 'user' && json.messages.length === 1, 'messages');
    return parts(content, (part) => part.type === 'image_url' && dataUrl(part.image_url.url), (part) => part.type === 'text' && part.text);
  },
  responses(request, json) {
    must(request.url === '/v1/responses', `path ${request.url}`);
    only(json, ['model', 'input', 'stream', 'store']);
    must(json.model === 'strict' && json.stream === true && json.store === false, 'model, stream or store');
    const [{ role, content }] = json.input;
    must(role === 'user' && json.input.length === 1, 'input');
    return parts(content, (part) => part.type === 'input_image' && dataUrl(part.image_url), (part) => part.type === 'input_text' && part.text);
  },
  anthropic(request, json) {
    must(request.url === '/v1/messages', `path ${request.url}`);
    must(request.headers['anthropic-version'] === '2023-06-01', 'anthropic-version');
    must(request.headers['anthropic-dangerous-direct-browser-access'] === 'true', 'CORS requests must set the browser header');
    must(!request.headers.authorization, 'authorization');
    only(json, ['model', 'max_tokens', 'messages', 'stream']);
    must(json.model === 'strict' && json.stream === true && Number.isInteger(json.max_tokens), 'model, stream or max_tokens');
    const [{ role, content }] = json.messages;
    must(role === 'user' && json.messages.length === 1, 'messages');
    return parts(content, ({ type, source }) => type === 'image' && source.type === 'base64' && image(source.media_type, source.data),
      (part) => part.type === 'text' && part.text);
  },
  gemini(request, json) {
    must(request.url === '/v1beta/models/strict:streamGenerateContent?alt=sse', `path ${request.url}`);
    only(json, ['contents']);
    const [{ role, parts: content }] = json.contents;
    must(role === 'user' && json.contents.length === 1, 'contents');
    return parts(content, (part) => part.inlineData && image(part.inlineData.mimeType, part.inlineData.data), (part) => part.text);
  },
};

function parts(content, asImage, asText) {
  const images = [], texts = [];
  for (const part of content) {
    const text = asText(part);
    if (text) texts.push(text);
    else images.push(asImage(part) || must(false, `part ${JSON.stringify(part).slice(0, 60)}`));
  }
  must(texts.length === 1 && content.at(-1) && asText(content.at(-1)), 'images first, then one text');
  return { images, texts };
}

async function stream(state, response, said, prompt) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
  const send = (value, name) => response.write(`${name ? `event: ${name}\n` : ''}data: ${JSON.stringify(value)}\n\n`);
  const typed = (value) => send(value, value.type);
  const words = said.split(/(?<= )/);
  const each = async (show) => {
    for (const word of words) {
      show(word);
      await new Promise((resolve) => setTimeout(resolve, state.pause));
    }
  };
  if (state.api === 'chat') {
    await each((content) => send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] }));
    send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    send({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: words.length } });
    response.end('data: [DONE]\n\n');
  } else if (state.api === 'responses') {
    typed({ type: 'response.created', response: { status: 'in_progress' } });
    await each((delta) => typed({ type: 'response.output_text.delta', delta, output_index: 0, content_index: 0 }));
    typed({ type: 'response.completed', response: { status: 'completed', error: null, incomplete_details: null, output: [], usage: { input_tokens: prompt, output_tokens: words.length } } });
    response.end();
  } else if (state.api === 'anthropic') {
    typed({ type: 'message_start', message: { role: 'assistant', content: [], usage: { input_tokens: prompt, output_tokens: 1 } } });
    typed({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
    typed({ type: 'ping' });
    await each((text) => typed({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }));
    typed({ type: 'content_block_stop', index: 0 });
    typed({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: words.length } });
    typed({ type: 'message_stop' });
    response.end();
  } else {
    const usageMetadata = { promptTokenCount: prompt, candidatesTokenCount: words.length };
    await each((text) => send({ candidates: [{ content: { parts: [{ text }], role: 'model' } }], usageMetadata }));
    send({ candidates: [{ content: { parts: [], role: 'model' }, finishReason: 'STOP' }], usageMetadata });
    response.end();
  }
}
