/** Has the page show its first picture in its reader's language: nothing is painted before this has run. */

import { translatePage } from './language.js';

translatePage();
