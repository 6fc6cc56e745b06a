// Bodies of requests. Each route says of which type and how large its body may be; both are checked behind the rights and before a byte
// of the body is read.

import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { ProblemError } from '../../protocol/index.ts'
import type { RouteEnvironment } from './auth.ts'

const SAFETENSORS_TYPE = 'application/octet-stream'
const types = {
  json: { expected: 'application/json', pattern: /^application\/([a-z-.]+\+)?json$/ },
  safetensors: { expected: SAFETENSORS_TYPE, pattern: /^application\/octet-stream$/ },
} as const

function checkType(type: keyof typeof types, header: string | undefined): void {
  const { expected, pattern } = types[type]
  const got = header?.split(';')[0]?.trim().toLowerCase()
  if (got === undefined || !pattern.test(got)) {
    throw new ProblemError('unsupported-media-type', `expected Content-Type ${expected}, got ${header ?? 'none'}`)
  }
}

const tooLarge = (mostBytes: number) => new ProblemError('too-large', `expected at most ${mostBytes} bytes`)

/** Throws ProblemError `unsupported-media-type` or `too-large`. A body whose length is not said is read up to what it may have. */
function bodyOf(type: keyof typeof types, mostBytes: number): MiddlewareHandler<RouteEnvironment> {
  const limit = bodyLimit({
    maxSize: mostBytes,
    onError: () => {
      throw tooLarge(mostBytes)
    },
  })
  return (context, next) => {
    // What a body must say is missing then, and is refused as such.
    if (context.req.raw.body) checkType(type, context.req.header('Content-Type'))
    return limit(context, next)
  }
}

/** The same for what goes on as a stream: what its length does not say is counted where it is read. */
function streamedBody(type: keyof typeof types, mostBytes: number): MiddlewareHandler<RouteEnvironment> {
  return async (context, next) => {
    checkType(type, context.req.header('Content-Type'))
    if (Number(context.req.header('Content-Length') ?? 0) > mostBytes) throw tooLarge(mostBytes)
    await next()
  }
}

export { bodyOf, SAFETENSORS_TYPE, streamedBody }
