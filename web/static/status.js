const TIMEOUT_MS = 3000;

/**
 * Asks the server how its engines are.
 * @param {string | null} key
 * @returns {Promise<object | null>} null when there is no readable answer
 */
export async function fetchStatus(key) {
  try {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const response = await fetch("/status", { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
