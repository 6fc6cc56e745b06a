// Rights to push as they travel: `<JSON in base64url>.<signature>`.

import { type PushRight, pushRightSchema } from '../../protocol/index.ts'
import { fromBase64Url, isSameText, type Signer, toBase64Url } from './signatures.ts'

/** One of a space with 4096 operations has 1,800. */
const MAX_PUSH_RIGHT_CHARACTERS = 4096

async function signPushRight(signer: Signer, right: PushRight): Promise<string> {
  const text = toBase64Url(new TextEncoder().encode(JSON.stringify(right)))
  return `${text}.${await signer.sign('push right', text)}`
}

/** Null for what this coordinator did not sign, or signed in a form that it no longer knows. */
async function readPushRight(signer: Signer, shown: string): Promise<PushRight | null> {
  const [text = '', signature = ''] = shown.split('.')
  if (!isSameText(signature, await signer.sign('push right', text))) return null
  const bytes = fromBase64Url(text)
  return bytes && (pushRightSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes))).data ?? null)
}

export { MAX_PUSH_RIGHT_CHARACTERS, readPushRight, signPushRight }
