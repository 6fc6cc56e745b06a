// What the coordinator hands out and is shown again is signed, so that the Worker can check it by itself, before it reads a body or calls an
// object: HMAC-SHA-256 (RFC 2104) under a key that never leaves the coordinator. Whether it was revoked since is for the objects to say.

/** What is signed for one purpose is worth nothing for another. */
type Purpose = 'agent token' | 'profile token' | 'push right'

type Signer = {
  /** 43 characters of base64url. */
  sign(purpose: Purpose, text: string): Promise<string>
}

/** Without padding. */
function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** Null for text that is no base64url. */
function fromBase64Url(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null
  try {
    return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0))
  } catch {
    return null
  }
}

/** @param key at least 32 random bytes */
async function createSigner(key: Uint8Array): Promise<Signer> {
  const imported = await crypto.subtle.importKey('raw', key.slice(), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return {
    async sign(purpose, text) {
      const message = new TextEncoder().encode(`gatehouse ${purpose}\n${text}`)
      return toBase64Url(new Uint8Array(await crypto.subtle.sign('HMAC', imported, message)))
    },
  }
}

/** In a time that does not depend on where the texts differ. */
function isSameText(one: string, other: string): boolean {
  const encoder = new TextEncoder()
  const [bytes, others] = [encoder.encode(one), encoder.encode(other)]
  return bytes.byteLength === others.byteLength && crypto.subtle.timingSafeEqual(bytes, others)
}

export { createSigner, fromBase64Url, isSameText, type Signer, toBase64Url }
