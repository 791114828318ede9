// The client that openapi-typescript and openapi-fetch make of docs/openapi.yaml, against `make serve`. tsc holds what is
// written here to the types.
//
// node client.js ADDRESS CALL
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

declare const process: { argv: string[] };

type Request = components['schemas']['ReplicationRequest'];
type Call = {
  project_id: string;
  replicate: NonNullable<Request['replicate']>;
};

const [address, text] = process.argv.slice(2);
const sample: Call = JSON.parse(text!);
const client = createClient<paths>({ baseUrl: address, headers: { Authorization: 'a signature' } });

function call(body: Request, at?: string) {
  return client.POST('/v3/{project_id}/checkpoints/replicate', {
    params: { path: { project_id: sample.project_id }, header: at ? { 'X-Requested-At': at } : {} },
    body,
  });
}

function expect(ok: boolean, what: unknown) {
  if (!ok) throw new Error(`unexpected: ${JSON.stringify(what)}`);
}

const at = new Date().toISOString();
for (let i = 0; i < 2; i++) { // the second call starts nothing more
  const { data, response } = await call({ replicate: sample.replicate }, at);
  const backups = data?.replication?.backups;
  expect(response.status === 200 && data?.replication?.vault_id === sample.replicate.vault_id, data);
  expect(backups?.length === 3 && !!backups[0]?.replication_record_id, data);
  expect(response.headers.get('X-Result-Published') === 'true' && !!response.headers.get('X-Request-Id'), response.status);
}

const bad: [Request, string | undefined, number, string][] = [
  [{ replicate: sample.replicate }, undefined, 409, 'BackupService.6130'],
  [{ replicate: sample.replicate, requested_at: '2026-11-23T02:00:00Z' }, at, 400, 'InvalidEvent'],
  [{ replicate: { ...sample.replicate, vault_id: 'no id' } }, undefined, 400, 'InvalidEvent'],
];
for (const [body, at, status, code] of bad) {
  const { error, response } = await call(body, at);
  expect(response.status === status && !!response.headers.get('X-Request-Id'), response.status);
  expect(!!error && 'error_code' in error && error.error_code === code && !!error.error_msg, error);
}
