// What to say of a file of weights that lacks a name: the names that are there, and what those that are wanted have in front of them there.

const MAX_NAMES = 3
/** Characters of a name, and of what stands before it: a file may have names of any length. */
const MAX_NAME = 80

function cut(name: string): string {
  return name.length > MAX_NAME ? `${name.slice(0, MAX_NAME - 1)}…` : name
}

/** What stands in front of every wanted name in the file; null where there is no such text, or it is empty. */
function commonPrefix(found: readonly string[], wanted: readonly string[]): string | null {
  const [first] = wanted
  if (first === undefined) return null
  const isThere = new Set(found)
  const longer = found.find((name) => name.length > first.length && name.endsWith(first))
  const prefix = longer?.slice(0, -first.length)
  return prefix !== undefined && wanted.every((name) => isThere.has(`${prefix}${name}`)) ? prefix : null
}

/** One bounded line, to stand behind what was expected. */
function describeNames(found: Iterable<string>, wanted: Iterable<string>): string {
  const names = [...found]
  if (names.length === 0) return 'the file has no tensors'
  const prefix = commonPrefix(names, [...wanted])
  if (prefix !== null) {
    const who = prefix === 'module.' ? ', as torch.nn.DataParallel writes them' : ''
    return `all of them are there with "${cut(prefix)}" in front of their names${who}: take it off`
  }
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : ''
  return `the file has ${names.slice(0, MAX_NAMES).map(cut).join(', ')}${more}`
}

export { describeNames }
