// What Lambda's own Node.js runtime does around a handler, and no more. npm's runtime
// interface client needs a native build.
import http from 'node:http';
import { handler } from './dist/index.mjs';

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ hostname, port, agent, method, path: `/2018-06-01/runtime/invocation/${path}` }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

for (;;) {
  const { headers, body } = await call('GET', 'next');
  const id = headers['lambda-runtime-aws-request-id'];
  const context = {
    awsRequestId: id,
    getRemainingTimeInMillis: () => Number(headers['lambda-runtime-deadline-ms']) - Date.now(),
  };
  try {
    await call('POST', `${id}/response`, JSON.stringify(await handler(JSON.parse(body), context)));
  } catch (error) {
    await call('POST', `${id}/error`, JSON.stringify({ errorType: error.name, errorMessage: error.message }));
  }
}
