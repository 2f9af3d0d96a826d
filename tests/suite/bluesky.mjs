// A real Bluesky server (a PDS) with one account. The directory of identities that it asks stands in this file: the real one is one
// service for the whole network.
import http from 'node:http';
import { randomBytes } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';

const [folder, port, handle, password] = process.argv.slice(2);
const require = createRequire(folder + '/package.json');
const { PDS, envToCfg, envToSecrets, readEnv } = await import(pathToFileURL(require.resolve('@atproto/pds')));

const operations = new Map();
const directory = http.createServer((request, response) => {
  const did = decodeURIComponent(request.url.split('/')[1] ?? '');
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    if (request.method === 'POST') {
      operations.set(did, JSON.parse(body));
      return response.end();
    }
    const known = operations.get(did);
    if (!known) return response.writeHead(404).end('{}');
    const { alsoKnownAs, verificationMethods, rotationKeys, services } = known;
    const publicKeyMultibase = verificationMethods.atproto.replace('did:key:', '');
    const document = {
      '@context': ['https://www.w3.org/ns/did/v1'],
      id: did,
      alsoKnownAs,
      verificationMethod: [{ id: `${did}#atproto`, type: 'Multikey', controller: did, publicKeyMultibase }],
      service: [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: services.atproto_pds.endpoint }],
    };
    const data = { did, alsoKnownAs, verificationMethods, rotationKeys, services };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(request.url.endsWith('/data') ? data : document));
  });
});
await new Promise((resolve) => directory.listen(0, '127.0.0.1', resolve));

Object.assign(process.env, {
  PDS_PORT: port,
  PDS_HOSTNAME: 'localhost',
  PDS_DEV_MODE: 'true',
  PDS_DATA_DIRECTORY: `${folder}/data`,
  PDS_BLOBSTORE_DISK_LOCATION: `${folder}/blobs`,
  PDS_DID_PLC_URL: `http://127.0.0.1:${directory.address().port}`,
  PDS_JWT_SECRET: randomBytes(16).toString('hex'),
  PDS_ADMIN_PASSWORD: randomBytes(16).toString('hex'),
  PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: randomBytes(32).toString('hex'),
  PDS_INVITE_REQUIRED: 'false',
  PDS_SERVICE_HANDLE_DOMAINS: '.test',
});
const env = readEnv();
const server = await PDS.create(envToCfg(env), envToSecrets(env));
await server.start();
const made = await fetch(`http://127.0.0.1:${port}/xrpc/com.atproto.server.createAccount`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ handle, email: 'sam@example.test', password }),
});
console.log(JSON.stringify(await made.json()));
