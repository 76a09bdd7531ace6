"use strict";
// Drives acme-client: one JSON object on standard input, one on standard output.

const fs = require("node:fs");
const net = require("node:net");
const acme = require("acme-client");

const ANSWERS = {
  "http-01": (name, challenge, value) => ["add-http01", { token: challenge.token, content: value }],
  "dns-01": (name, challenge, value) => ["set-txt", { host: `_acme-challenge.${name}.`, value }],
  "tls-alpn-01": (name, challenge, value) => ["add-tlsalpn01", { host: name, content: value }],
};

class Session {
  constructor(asked) {
    this.asked = asked;
    this.state = fs.existsSync(asked.state) ? JSON.parse(fs.readFileSync(asked.state)) : {};
  }

  async open() {
    this.state.key ??= (await acme.crypto.createPrivateEcdsaKey()).toString();
    const { binding } = this.asked;
    this.client = new acme.Client({
      directoryUrl: this.asked.directory,
      accountKey: this.state.key,
      accountUrl: this.state.account,
      externalAccountBinding: binding ? { kid: binding.kid, hmacKey: binding.hmac } : {},
      backoffMin: 200,
      backoffMax: 1000,
      backoffAttempts: 100,
    });
  }

  save() {
    this.state.account = this.client.getAccountUrl();
    fs.writeFileSync(this.asked.state, JSON.stringify(this.state));
  }

  async register() {
    await this.client.createAccount({
      termsOfServiceAgreed: true,
      contact: [`mailto:${this.asked.email}`],
    });
    this.save();
  }

  async update() {
    const account = await this.client.updateAccount({ contact: [`mailto:${this.asked.email}`] });
    return { contact: account.contact };
  }

  async "change-key"() {
    const key = (await acme.crypto.createPrivateEcdsaKey("P-384")).toString();
    await this.client.updateAccountKey(key);
    this.state.key = key;
    this.save();
  }

  async deactivate() {
    return { status: (await this.client.updateAccount({ status: "deactivated" })).status };
  }

  async revoke() {
    const pem = fs.readFileSync(this.asked.certificate, "utf8");
    await this.client.revokeCertificate(acme.crypto.splitPemChain(pem)[0], { reason: this.asked.reason });
  }

  async issue() {
    const order = await this.order();
    for (const authorization of await this.client.getAuthorizations(order)) {
      await this.answer(authorization);
    }
    const { csr, files, names } = this.asked;
    let request = csr && fs.readFileSync(csr);
    if (!request) {
      let key;
      [key, request] = await acme.crypto.createCsr(
        { altNames: names },
        await acme.crypto.createPrivateEcdsaKey(),
      );
      fs.writeFileSync(files.key, key, { mode: 0o600 });
    }
    const finalized = await this.client.finalizeOrder(order, request);
    fs.writeFileSync(files.chain, await this.client.getCertificate(finalized));
  }

  async "deactivate-authorization"() {
    const order = await this.order();
    const [authorization] = await this.client.getAuthorizations(order);
    return { status: (await this.client.deactivateAuthorization(authorization)).status };
  }

  order() {
    const { names, profile } = this.asked;
    const identifiers = names.map((value) => ({ type: net.isIP(value) ? "ip" : "dns", value }));
    return this.client.createOrder(profile ? { identifiers, profile } : { identifiers });
  }

  async answer(authorization) {
    if (authorization.status === "valid") return;
    const challenge = authorization.challenges.find((each) => each.type === this.asked.challenge);
    const value = await this.client.getChallengeKeyAuthorization(challenge);
    const [path, record] = ANSWERS[challenge.type](authorization.identifier.value, challenge, value);
    const told = await fetch(`${this.asked.challtestsrv}/${path}`, {
      method: "POST",
      body: JSON.stringify(record),
    });
    if (!told.ok) throw new Error(`${path} gave ${told.status}`);
    await this.client.completeChallenge(challenge);
    await this.client.waitForValidStatus(challenge);
  }
}

async function main() {
  const session = new Session(JSON.parse(fs.readFileSync(0)));
  await session.open();
  const answer = await session[session.asked.action]();
  process.stdout.write(JSON.stringify(answer ?? {}));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
