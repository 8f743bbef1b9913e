// A classic script in the head of each page: the theme that was chosen is there before anything is shown.
{
  const theme = localStorage.getItem('tidegate:theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}
