// Mutual TLS (RFC 8705) for oidc-provider.mjs: what a TLS front tells of the certificate that it was shown, in headers.
import { X509Certificate, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const ALIASED = {
  token_endpoint: '/token',
  revocation_endpoint: '/token/revocation',
  introspection_endpoint: '/token/introspection',
  device_authorization_endpoint: '/device/auth',
  pushed_authorization_request_endpoint: '/request',
  registration_endpoint: '/reg',
};

export class MutualTls {
  constructor({ front, certificate }) {
    this.front = front;
    this.selfSigned = new X509Certificate(readFileSync(certificate));
    this.pretends = false;
  }

  discovery() {
    const aliases = Object.entries(ALIASED).map(([name, path]) => [name, `${this.front}${path}`]);
    return { mtls_endpoint_aliases: Object.fromEntries(aliases) };
  }

  methods() {
    return ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt',
      'tls_client_auth', 'self_signed_tls_client_auth'];
  }

  feature() {
    return {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => (this.pretends ? this.selfSigned : shown(ctx.req)),
      certificateAuthorized: (ctx) => ctx.get('x-client-verify') === 'SUCCESS',
      certificateSubjectMatches: (ctx, property, expected) => (
        property === 'tls_client_auth_subject_dn' && ctx.get('x-client-dn') === expected),
    };
  }

  // `tls` and `self` prove themselves with a certificate; `bound` is public, and its tokens are bound to one.
  clients(native) {
    const bound = { ...native, tls_client_certificate_bound_access_tokens: true };
    const both = { ...bound, grant_types: [...native.grant_types, 'client_credentials'] };
    const x5c = [this.selfSigned.raw.toString('base64')];
    const key = { ...this.selfSigned.publicKey.export({ format: 'jwk' }), x5c, use: 'sig' };
    return [
      { ...both, client_id: 'tls', token_endpoint_auth_method: 'tls_client_auth',
        tls_client_auth_subject_dn: 'CN=agent' },
      { ...both, client_id: 'self', token_endpoint_auth_method: 'self_signed_tls_client_auth',
        jwks: { keys: [key] } },
      { ...bound, client_id: 'bound', token_endpoint_auth_method: 'none' },
    ];
  }

  pretend(on) {
    this.pretends = on;
  }

  // An access token that is a JWT, as the API's own libraries read it; its signature is not what is tested here.
  readJwt(value) {
    const parts = value.split('.');
    if (parts.length !== 3) return undefined;
    const claims = JSON.parse(Buffer.from(parts[1], 'base64url'));
    return { aud: claims.aud, isValid: claims.exp * 1000 > Date.now(), accountId: claims.sub,
      clientId: claims.client_id, scope: claims.scope, 'x5t#S256': claims.cnf?.['x5t#S256'] };
  }

  // Whether a request shows the certificate that its token is bound to (RFC 8705 section 3).
  holds(req, token) {
    const certificate = shown(req);
    return certificate !== undefined && token['x5t#S256'] === thumbprint(certificate);
  }
}

function shown(req) {
  const pem = req.headers['x-client-cert'];
  return pem ? new X509Certificate(decodeURIComponent(pem)) : undefined;
}

function thumbprint(certificate) {
  return createHash('sha256').update(certificate.raw).digest('base64url');
}
