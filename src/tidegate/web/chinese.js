/** The texts of the pages in Chinese, by what they are in English. */

/** @type {Record<string, string>} */
export const CHINESE = {
  Stop: '停止',
};
