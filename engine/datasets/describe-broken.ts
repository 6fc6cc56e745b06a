const MAX_SHOWN_FILES = 5

/** What is said of files that could not be decoded; there is at least one. */
function describeBroken(files: readonly string[]): string {
  const shown = files.slice(0, MAX_SHOWN_FILES).join(', ')
  const more = files.length > MAX_SHOWN_FILES ? ' …' : ''
  return `${files.length} broken images were each replaced by another of their class: ${shown}${more}`
}

export { describeBroken }
