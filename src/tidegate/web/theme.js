// A classic script in the head of each page: the theme that was chosen is there before anything is shown.
{
  let theme;
  try {
    theme = localStorage.getItem('tidegate:theme');
  } catch {
    // Nothing may be kept in this browser.
  }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}
