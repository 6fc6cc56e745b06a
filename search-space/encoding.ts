// An architecture as one readable, stable line: the space's name, a colon, and one operation name per block, as in
// `fashion-mini:mb3k5,zero,mb6k3`. Parsing what was printed gives the same path, and the other way round.

import { assertPath, type Path, type Space, SpaceError } from './space.ts'

/** Throws SpaceError `choices` if the path is not of this space. */
function printArchitecture(space: Space, path: Path): string {
  assertPath(space, path)
  const names = space.blocks.map((block, index) => block.operations[path[index] as number]?.name)
  return `${space.name}:${names.join(',')}`
}

/** Throws SpaceError `encoding`, naming the block, if the text is not an architecture of this space. */
function parseArchitecture(space: Space, text: string): number[] {
  const colon = text.lastIndexOf(':')
  const name = text.slice(0, Math.max(colon, 0))
  if (name !== space.name) {
    throw new SpaceError('encoding', 'architecture', `expected an architecture that starts with "${space.name}:", got "${text}"`)
  }
  const names = text.slice(colon + 1).split(',')
  if (names.length !== space.blocks.length) {
    throw new SpaceError('encoding', 'architecture', `expected ${space.blocks.length} operations, one per block, got ${names.length}`)
  }
  return space.blocks.map((block, index) => {
    const operation = block.operations.findIndex((candidate) => candidate.name === names[index])
    if (operation === -1) {
      const known = block.operations.map((candidate) => candidate.name).join(', ')
      throw new SpaceError(
        'encoding',
        `architecture.blocks[${index}]`,
        `expected one of ${known} for block ${block.name}, got "${names[index]}"`,
      )
    }
    return operation
  })
}

export { parseArchitecture, printArchitecture }
