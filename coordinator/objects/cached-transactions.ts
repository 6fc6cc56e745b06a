// Transactions over rows that are kept in memory too. One that fails after it has written drops what is kept, since storage is back where it
// was; one that refuses before it writes, which is what refusals do, keeps it.

type CachedTransactions = {
  transaction<T>(body: () => T): T
  /** To be called for statements that write; results as those of `exec`. */
  readonly write: SqlStorage['exec']
}

function createCachedTransactions(storage: DurableObjectStorage, dropCache: () => void): CachedTransactions {
  let depth = 0
  let hasWritten = false
  return {
    transaction(body) {
      if (depth === 0) hasWritten = false
      depth += 1
      try {
        return storage.transactionSync(body)
      } catch (error) {
        if (hasWritten) dropCache()
        throw error
      } finally {
        depth -= 1
      }
    },
    write(query, ...bindings) {
      hasWritten = true
      return storage.sql.exec(query, ...bindings)
    },
  }
}

export { createCachedTransactions }
