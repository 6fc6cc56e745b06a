// Tokens as the Worker issues and checks them. Their last characters are a signature of the rest. Those that an earlier version issued end
// in random characters instead.

import {
  createId,
  parseAgentToken,
  parseProfileToken,
  parseTrainingToken,
  printAgentToken,
  printProfileToken,
  type TokenRecord,
} from '../../protocol/index.ts'
import { isSameText, type Signer, toBase64Url } from './signatures.ts'

const ID_BYTES = 12
const NONCE_BYTES = 16
/** Of the 43 characters that a profile's token has for it; the signature has the other 22, 130 bits. */
const NONCE_CHARACTERS = 21

/** What a token says of itself. */
type ShownToken =
  | { readonly kind: 'agent'; readonly searchId: string; readonly tokenId: string }
  | { readonly kind: 'trainer'; readonly trainingId: string; readonly tokenId: string }
  | { readonly kind: 'profile'; readonly profileId: string }

/** Null for text that is no token of an agent, a training or a profile. */
function parseToken(token: string): ShownToken | null {
  const agent = parseAgentToken(token)
  if (agent) return { kind: 'agent', ...agent }
  const trainer = parseTrainingToken(token)
  if (trainer) return { kind: 'trainer', ...trainer }
  const profile = parseProfileToken(token)
  return profile && { kind: 'profile', ...profile }
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
}

/** Lower-case hexadecimal SHA-256. */
async function sha256Hex(text: string): Promise<string> {
  return [...(await sha256(text))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

const agentSignature = (signer: Signer, ownerId: string, tokenId: string) => signer.sign('agent token', `${ownerId}.${tokenId}`)

async function profileSignature(signer: Signer, profileId: string, nonce: string): Promise<string> {
  return nonce + (await signer.sign('profile token', `${profileId}.${nonce}`)).slice(NONCE_CHARACTERS)
}

/** A token of a search or a training, and what their objects keep of it. */
async function issueAgentToken(signer: Signer, ownerId: string, label: string): Promise<{ token: string; record: TokenRecord }> {
  const tokenId = createId('t', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
  const token = printAgentToken(ownerId, tokenId, await agentSignature(signer, ownerId, tokenId))
  return { token, record: { tokenId, label, createdAtMs: Date.now(), hash: await sha256(token) } }
}

/** Another one each time: who opens a profile again takes it from who had it before. */
async function issueProfileToken(signer: Signer, profileId: string): Promise<string> {
  const nonce = toBase64Url(crypto.getRandomValues(new Uint8Array(NONCE_BYTES))).slice(0, NONCE_CHARACTERS)
  return printProfileToken(profileId, await profileSignature(signer, profileId, nonce))
}

/** Whether this coordinator signed the token. */
async function isSigned(signer: Signer, token: string, shown: ShownToken): Promise<boolean> {
  const signature = token.slice(token.lastIndexOf('.') + 1)
  switch (shown.kind) {
    case 'agent':
      return isSameText(signature, await agentSignature(signer, shown.searchId, shown.tokenId))
    case 'trainer':
      return isSameText(signature, await agentSignature(signer, shown.trainingId, shown.tokenId))
    case 'profile':
      return isSameText(signature, await profileSignature(signer, shown.profileId, signature.slice(0, NONCE_CHARACTERS)))
    default:
      return shown satisfies never
  }
}

export { isSigned, issueAgentToken, issueProfileToken, parseToken, sha256, sha256Hex, type ShownToken }
