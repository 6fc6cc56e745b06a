// Files of networks over HTTP, in parts where they are large: what requests and answers look like, and how they are read and sent.

import * as z from 'zod'
import {
  type Delivery,
  type FilePart,
  type Outcome,
  parseContentRange,
  parseRangeBegin,
  printContentRange,
  ProblemError,
  trainingUploadSchema,
  unwrap,
} from '../../protocol/index.ts'
import { SAFETENSORS_TYPE } from './bodies.ts'
import { withProblems } from './problems.ts'
import { json } from './answers.ts'

const safetensors = { [SAFETENSORS_TYPE]: { schema: { type: 'string' as const, format: 'binary', description: 'a safetensors file' } } }

/** Of a request that sends a file or a part of one. */
const uploadRequest = {
  headers: z.object({ 'content-range': z.string().optional().describe('which bytes of the file the body is; without it, the whole') }),
  body: { required: true, content: safetensors },
}
const uploadAnswers = () =>
  withProblems(
    { 200: json(trainingUploadSchema, 'What became of it; never an error for being late or repeated') },
    'forbidden',
    'not-found',
    'conflict',
    'bad-numbers',
    'too-large',
    'unsupported-media-type',
  )

/** Of a request for a file or a part of one. */
const downloadHeaders = z.object({ range: z.string().optional().describe('the answer has at most 8 MiB from its first byte on') })
const downloadAnswers = () =>
  withProblems(
    {
      200: { description: 'A safetensors file', content: safetensors },
      206: { description: 'Some of its bytes; Content-Range says which, and ETag of which version', content: safetensors },
    },
    'forbidden',
    'not-found',
  )

type UploadRequest = { header(name: string): string | undefined; arrayBuffer(): Promise<ArrayBuffer> }

/** Throws ProblemError `invalid-request` where a range is none. */
async function readDelivery(request: UploadRequest, uploadId: string | undefined): Promise<Delivery> {
  const bytes = new Uint8Array(await request.arrayBuffer())
  const range = request.header('Content-Range')
  const part = range === undefined ? { begin: 0, end: bytes.byteLength, total: bytes.byteLength } : parseContentRange(range)
  if (part) return { bytes, part, uploadId: uploadId ?? null }
  const message = `expected a range such as bytes 0-8388607/50331648, got ${range}`
  throw new ProblemError('invalid-request', `Content-Range: ${message}`, [{ path: 'Content-Range', message }])
}

/** The rest of a file behind its first part. It breaks off where the file is replaced meanwhile. */
function streamRest(first: FilePart, read: (begin: number) => Promise<Outcome<FilePart>>): ReadableStream<Uint8Array> {
  let sent = 0
  return new ReadableStream({
    async pull(controller) {
      const { bytes, version } = sent === 0 ? first : unwrap(await read(sent))
      if (version !== first.version) throw new Error('the file was replaced by a newer one while it was read')
      controller.enqueue(bytes)
      sent += bytes.byteLength
      if (sent === first.total) controller.close()
    },
  })
}

/** A file, or the part of it that is asked for. */
async function sendFile(range: string | undefined, read: (begin: number) => Promise<Outcome<FilePart>>): Promise<Response> {
  const begin = parseRangeBegin(range)
  const part = unwrap(await read(begin ?? 0))
  const { bytes, total, version } = part
  const headers = { 'Content-Type': SAFETENSORS_TYPE, 'Accept-Ranges': 'bytes', ETag: `"${version}"` }
  if (begin === null) return new Response(bytes.byteLength === total ? bytes : streamRest(part, read), { headers })
  const contentRange = printContentRange({ begin, end: begin + bytes.byteLength, total })
  return new Response(bytes, { status: 206, headers: { ...headers, 'Content-Range': contentRange } })
}

export { downloadAnswers, downloadHeaders, readDelivery, sendFile, uploadAnswers, uploadRequest }
