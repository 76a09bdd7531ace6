// What nginx adds to a request for the server, and what it answers in its place.

// RFC 9440 §2.1: the client's certificate as a byte sequence, `:base64:`. TLS has proven its key.

// Base64 of the 16 KiB that the server takes, with line breaks and the lines around it.
const MAX_PEM = 23000;

function clientCert(request) {
    const pem = request.variables.ssl_client_raw_cert;
    if (!pem) {
        return ''; // and nginx sends no header
    }
    if (pem.length > MAX_PEM) {
        return ':'; // no certificate, and not as if there were none
    }
    return ':' + pem.replace(/-----(BEGIN|END) CERTIFICATE-----|\s/g, '') + ':';
}

// A body that is too large (413), by the beginning of the path: what clients of each protocol can read.
const TOO_LARGE = [
    ['/.well-known/est/', 'text/plain; charset=utf-8', 'A body has 65536 bytes at most. [EST-SIZE]\n'],
    ['/acme/', 'application/problem+json', problem('urn:ietf:params:acme:error:malformed', {})],
    ['/', 'application/problem+json', problem('about:blank', { rule_ids: ['REST-SIZE'] })],
];

function problem(type, more) {
    return JSON.stringify(Object.assign({ type, status: 413, detail: 'Entity is too large' }, more));
}

function tooLarge(request) {
    const answer = TOO_LARGE.find((each) => request.uri.startsWith(each[0]));
    request.headersOut['Content-Type'] = answer[1];
    request.headersOut['Cache-Control'] = 'no-store';
    request.return(413, answer[2]);
}

export default { clientCert, tooLarge };
