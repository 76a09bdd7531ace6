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

export default { clientCert };
