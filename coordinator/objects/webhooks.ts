// Telling a webhook. The body is signed under the secret that whoever set the webhook has, with the time, so that nobody else can say it, or say it
// again later:
//
//     Gatehouse-Signature: t=<ms since 1970>,sha256=<hexadecimal HMAC-SHA-256 of "<t>.<body>">

import type { Webhook } from './announcements.ts'

const SIGNATURE_HEADER = 'Gatehouse-Signature'
const TIMEOUT_MS = 10_000
const SECRET_BYTES = 24

const toHex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')

const createSecret = (): string => toHex(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)))

async function sign(secret: string, text: string): Promise<string> {
  const encoder = new TextEncoder()
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return toHex(new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(text))))
}

/** Whether it has heard: it answered with a status of 200 to 299. */
async function tell({ url, secret }: Webhook, body: string, nowMs: number): Promise<boolean> {
  const signature = `t=${nowMs},sha256=${await sign(secret, `${nowMs}.${body}`)}`
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', [SIGNATURE_HEADER]: signature },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    await response.body?.cancel()
    return response.ok
  } catch {
    return false
  }
}

export { createSecret, tell }
