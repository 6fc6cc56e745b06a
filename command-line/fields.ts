// Settings on the command line: fields of a JSON object, named by their path.

import { CliError } from './exit-codes.ts'

const MAX_PATH_DEPTH = 10

function numberFlag(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new CliError('usage', `expected ${flag} to be a number, got "${text}"`)
  return value
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `space.stages[0].width` → ['space', 'stages', 0, 'width']. */
function parseFieldPath(field: string): (string | number)[] {
  if (!/^[A-Za-z]\w*(\[\d+\])*(\.[A-Za-z]\w*(\[\d+\])*)*$/.test(field)) {
    throw new CliError('usage', `expected a field such as training.steps or space.stages[0].width, got "${field}"`)
  }
  const parts = [...field.matchAll(/[A-Za-z]\w*|\d+/g)].map(([part]) => (/^\d/.test(part) ? Number(part) : part))
  if (parts.length > MAX_PATH_DEPTH) throw new CliError('usage', `no field lies that deep: ${field}`)
  return parts
}

function readField(config: unknown, field: string): unknown {
  return parseFieldPath(field).reduce<unknown>(
    (value, part) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, part)
        ? (value as Record<string | number, unknown>)[part]
        : undefined,
    config,
  )
}

/** Changes one field in place. A preset name becomes the preset with that setting changed. */
function setField(config: Record<string, unknown>, field: string, value: unknown): void {
  const parts = parseFieldPath(field)
  let container = config as Record<string | number, unknown>
  for (const [index, part] of parts.slice(0, -1).entries()) {
    const inner = Object.hasOwn(container, part) ? container[part] : undefined
    let next: unknown = inner
    if (inner === undefined) next = {}
    else if (index === 0 && part === 'space' && typeof inner === 'string') next = { preset: inner }
    if (typeof next !== 'object' || next === null) {
      throw new CliError(
        'usage',
        `cannot set ${field}: ${parts.slice(0, index + 1).join('.')} is ${JSON.stringify(inner)}, which has no fields`,
      )
    }
    container[part] = next
    container = next as Record<string | number, unknown>
  }
  const last = parts.at(-1) as string | number
  if (Array.isArray(container) && (typeof last !== 'number' || last > container.length)) {
    throw new CliError('usage', `cannot set ${field}: the list has ${container.length} items`)
  }
  container[last] = value
}

/** Changes the fields that `FIELD=VALUE` texts name, in place. Throws CliError `usage`; `example` is for its message. */
function assignFields(config: Record<string, unknown>, sets: readonly string[], example: string): void {
  for (const text of sets) {
    const equals = text.indexOf('=')
    if (equals < 1) throw new CliError('usage', `expected --set FIELD=VALUE, for example --set ${example}, got "${text}"`)
    setField(config, text.slice(0, equals), jsonOrText(text.slice(equals + 1)))
  }
}

export { assignFields, isRecord, numberFlag, readField, setField }
